//! As much of GraphQL as holds a request against a schema: a field, an argument or a variable that is not in it, or of
//! another type, is refused; an answer is cut to what was asked for.

use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A type as it is written: `[String!]!`.
type Type = String;

#[derive(Debug, Default)]
pub struct Field {
    pub args: Vec<(String, Type)>,
    pub of: Type,
}

#[derive(Debug)]
pub enum Def {
    Object(HashMap<String, Field>),
    Input(HashMap<String, Type>),
    Enum(Vec<String>),
    Scalar,
}

pub struct Schema(pub HashMap<String, Def>);

/// One field of a request, with its arguments as values.
#[derive(Debug, Clone)]
pub struct Asked {
    pub name: String,
    pub args: Value,
    fields: Vec<Self>,
}

struct Tokens {
    all: Vec<String>,
    at: usize,
}

impl Tokens {
    fn of(text: &str) -> Self {
        let text: String =
            text.lines().map(|line| line.split('#').next().unwrap_or_default().to_owned() + "\n").collect();
        let token =
            regex::Regex::new(r#""(?:[^"\\]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|-?[0-9.]+|[!$():=@\[\]{}|&]"#);
        Self { all: token.unwrap().find_iter(&text).map(|found| found.as_str().to_owned()).collect(), at: 0 }
    }

    fn peek(&self) -> &str {
        self.all.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.all.get(self.at - 1).cloned().unwrap_or_default()
    }

    fn takes(&mut self, token: &str) -> bool {
        let is_it = self.peek() == token;
        self.at += usize::from(is_it);
        is_it
    }

    fn wants(&mut self, token: &str) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(format!("`{token}` expected, not `{}`", self.peek())) }
    }

    fn of_type(&mut self) -> Result<Type, String> {
        let mut name = if self.takes("[") {
            let inner = self.of_type()?;
            self.wants("]")?;
            format!("[{inner}]")
        } else {
            self.next()
        };
        if self.takes("!") {
            name.push('!');
        }
        Ok(name)
    }

    fn value(&mut self, variables: &HashMap<String, (Type, Value)>) -> Result<(Option<Type>, Value), String> {
        let token = self.next();
        Ok(match token.as_str() {
            "$" => {
                let name = self.next();
                let (of, value) = variables.get(&name).ok_or(format!("${name} is not declared"))?;
                (Some(of.clone()), value.clone())
            }
            "true" | "false" | "null" => (None, serde_json::from_str(&token).unwrap()),
            _ if token.starts_with('"') => (None, serde_json::from_str(&token).map_err(|_| token)?),
            _ => (None, serde_json::from_str(&token).unwrap_or_else(|_| token.into())),
        })
    }
}

fn bare(of: &str) -> &str {
    of.trim_matches(['[', ']', '!'])
}

impl Schema {
    pub fn parse(text: &str) -> Self {
        let mut tokens = Tokens::of(text);
        let mut types = HashMap::new();
        while !tokens.peek().is_empty() {
            let (kind, name) = (tokens.next(), tokens.next());
            let def = match kind.as_str() {
                "scalar" => Def::Scalar,
                "enum" => Def::Enum(Self::block(&mut tokens, Tokens::next)),
                "input" => Def::Input(
                    Self::block(&mut tokens, |tokens| {
                        let name = tokens.next();
                        tokens.wants(":").unwrap();
                        (name, tokens.of_type().unwrap())
                    })
                    .into_iter()
                    .collect(),
                ),
                "type" => Def::Object(Self::block(&mut tokens, Self::field).into_iter().collect()),
                other => panic!("{other}"),
            };
            types.insert(name, def);
        }
        Self(types)
    }

    fn block<T>(tokens: &mut Tokens, one: impl Fn(&mut Tokens) -> T) -> Vec<T> {
        tokens.wants("{").unwrap();
        let mut all = Vec::new();
        while !tokens.takes("}") {
            all.push(one(tokens));
        }
        all
    }

    fn field(tokens: &mut Tokens) -> (String, Field) {
        let name = tokens.next();
        let mut field = Field::default();
        if tokens.takes("(") {
            while !tokens.takes(")") {
                let name = tokens.next();
                tokens.wants(":").unwrap();
                field.args.push((name, tokens.of_type().unwrap()));
            }
        }
        tokens.wants(":").unwrap();
        field.of = tokens.of_type().unwrap();
        (name, field)
    }

    /// A request's root fields.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, request: &Value) -> Result<Vec<Asked>, String> {
        let mut tokens = Tokens::of(request["query"].as_str().ok_or("no query")?);
        let given = request.get("variables").cloned().unwrap_or_else(|| json!({}));
        let root = match tokens.peek() {
            "{" => "Query",
            "query" => "Query",
            "mutation" => "Mutation",
            other => return Err(format!("`{other}` is no operation")),
        };
        let mut variables = HashMap::new();
        if tokens.peek() != "{" {
            tokens.next();
            if !matches!(tokens.peek(), "(" | "{") {
                tokens.next();
            }
            if tokens.takes("(") {
                while !tokens.takes(")") {
                    tokens.wants("$")?;
                    let name = tokens.next();
                    tokens.wants(":")?;
                    let of = tokens.of_type()?;
                    let value = given.get(&name).cloned().unwrap_or(Value::Null);
                    self.fits(&value, &of, &format!("${name}"))?;
                    variables.insert(name, (of, value));
                }
            }
        }
        if let Some(more) =
            given.as_object().ok_or("variables")?.keys().find(|name| !variables.contains_key(*name))
        {
            return Err(format!("a value for ${more}, which is not declared"));
        }
        let asked = self.selection(&mut tokens, root, &variables)?;
        if tokens.peek().is_empty() {
            Ok(asked)
        } else {
            Err(format!("more than one operation: {}", tokens.peek()))
        }
    }

    fn selection(
        &self,
        tokens: &mut Tokens,
        of: &str,
        variables: &HashMap<String, (Type, Value)>,
    ) -> Result<Vec<Asked>, String> {
        let Some(Def::Object(fields)) = self.0.get(of) else { return Err(format!("{of} has no fields")) };
        tokens.wants("{")?;
        let mut all = Vec::new();
        while !tokens.takes("}") {
            let name = tokens.next();
            let field = fields.get(&name).ok_or(format!("{of} has no field `{name}`"))?;
            let mut args = Map::new();
            if tokens.takes("(") {
                while !tokens.takes(")") {
                    let arg = tokens.next();
                    tokens.wants(":")?;
                    let (declared, value) = tokens.value(variables)?;
                    let wanted = field.args.iter().find(|(known, _)| *known == arg);
                    let (_, wanted) = wanted.ok_or(format!("{name} has no argument `{arg}`"))?;
                    if declared
                        .is_some_and(|declared| declared != *wanted && declared != format!("{wanted}!"))
                    {
                        return Err(format!("{arg} of {name} is {wanted}"));
                    }
                    self.fits(&value, wanted, &arg)?;
                    args.insert(arg, value);
                }
            }
            if let Some((missing, _)) =
                field.args.iter().find(|(arg, of)| of.ends_with('!') && !args.contains_key(arg))
            {
                return Err(format!("{name} needs `{missing}`"));
            }
            let inner = bare(&field.of);
            let is_object = matches!(self.0.get(inner), Some(Def::Object(_)));
            let fields = match (is_object, tokens.peek() == "{") {
                (true, true) => self.selection(tokens, inner, variables)?,
                (false, false) => Vec::new(),
                (true, false) => return Err(format!("`{name}` needs its fields named")),
                (false, true) => return Err(format!("`{name}` has no fields")),
            };
            all.push(Asked { name, args: Value::Object(args), fields });
        }
        if all.is_empty() { Err(format!("nothing of {of} is asked for")) } else { Ok(all) }
    }

    fn fits(&self, value: &Value, of: &str, what: &str) -> Result<(), String> {
        let (inner, needed) = of.strip_suffix('!').map_or((of, false), |inner| (inner, true));
        if value.is_null() {
            return if needed { Err(format!("{what} must be {of}, and is missing")) } else { Ok(()) };
        }
        let bad = || Err(format!("{what} must be {of}, not {value}"));
        if let Some(item) = inner.strip_prefix('[').and_then(|item| item.strip_suffix(']')) {
            let Some(items) = value.as_array() else { return bad() };
            return items.iter().try_for_each(|value| self.fits(value, item, what));
        }
        let holds = match (inner, self.0.get(inner)) {
            ("String" | "ID", _) => value.is_string(),
            ("Int", _) => value.is_i64(),
            ("Float", _) => value.is_number(),
            ("Boolean", _) => value.is_boolean(),
            ("DateTime", _) => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            (_, Some(Def::Enum(values))) => {
                value.as_str().is_some_and(|word| values.iter().any(|one| one == word))
            }
            (_, Some(Def::Input(fields))) => {
                let Some(given) = value.as_object() else { return bad() };
                if let Some(more) = given.keys().find(|name| !fields.contains_key(*name)) {
                    return Err(format!("{inner} has no field `{more}`"));
                }
                for (name, of) in fields {
                    self.fits(given.get(name).unwrap_or(&Value::Null), of, name)?;
                }
                true
            }
            _ => false,
        };
        if holds { Ok(()) } else { bad() }
    }
}

/// An answer cut to what was asked for. A field that the answer does not have is a fault of the stand-in.
pub fn cut(value: Value, asked: &Asked) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| cut(item, asked)).collect(),
        Value::Object(mut map) if !asked.fields.is_empty() => {
            let one = |field: &Asked| {
                let value = map.remove(&field.name).unwrap_or_else(|| panic!("no {}", field.name));
                (field.name.clone(), cut(value, field))
            };
            Value::Object(asked.fields.iter().map(one).collect())
        }
        other => other,
    }
}
