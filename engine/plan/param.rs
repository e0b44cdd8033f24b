//! Typed parameters and their values.

use super::decode::{choice, record};
use super::duration::Duration;
use super::finding::{Finding, suggest};
use super::json::Json;
use super::source::Sp;
use super::text::written_password;
use serde_json::Value;

choice! {
    /// The type of a parameter.
    pub enum Type {
        String = "string", Integer = "integer", Number = "number", Boolean = "boolean", Choice = "choice",
        Path = "path", Url = "url", Timestamp = "timestamp", Duration = "duration", List = "list",
    }
}

record! {
    /// A value the plan is run with.
    pub struct Param as "a parameter" {
        /// Its type.
        /// Example: path
        type_: Sp<Type>,
        /// The type of a list's items.
        /// Example: string
        items: Option<Sp<Type>>,
        /// What to choose from, for `choice`.
        /// Example: ["critical", "high"]
        choices: Option<Vec<String>>,
        /// True: a run needs a value.
        /// Example: true
        required: bool = false,
        /// The value when none is given.
        /// Example: ./backups
        default: Option<Sp<Json>>,
        /// What it is for.
        /// Example: Backup taken before the corruption
        description: Option<String>,
        /// A regular expression the whole text must match.
        /// Example: [a-z]+
        pattern: Option<Sp<String>>,
        /// The least number, or the shortest text.
        /// Example: 1
        min: Option<f64>,
        /// The greatest number, or the longest text.
        /// Example: 100
        max: Option<f64>,
        /// True: never shown, stored or put into argv.
        /// Example: false
        secret: bool = false,
    }
}

impl Param {
    /// Reads a value that was typed.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.type_.value {
            Type::List => {
                let trimmed = text.trim();
                if trimmed.starts_with('[') {
                    serde_json::from_str(trimmed).map_err(|error| format!("not a JSON list: {error}"))?
                } else if trimmed.is_empty() {
                    Value::Array(Vec::new())
                } else {
                    let items: Result<Vec<Value>, String> =
                        trimmed.split(',').map(|item| scalar(self.item_type(), item.trim())).collect();
                    Value::Array(items?)
                }
            }
            one => scalar(one, text)?,
        };
        self.accept(&value)?;
        Ok(value)
    }

    /// A value from a file or another plan, where a number or a truth value may stand for its text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn take(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::Number(_) | Value::Bool(_) if self.accept(value).is_err() => {
                self.parse(&value.to_string())
            }
            value => self.accept(value).map(|()| value.clone()),
        }
    }

    fn item_type(&self) -> Type {
        self.items.as_ref().map_or(Type::String, |items| items.value)
    }

    /// Whether a value is one of this parameter's.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn accept(&self, value: &Value) -> Result<(), String> {
        if self.type_.value != Type::List {
            return self.accept_one(self.type_.value, value);
        }
        let Value::Array(items) = value else { return Err("a list is wanted".to_owned()) };
        items.iter().try_for_each(|item| self.accept_one(self.item_type(), item))
    }

    fn accept_one(&self, kind: Type, value: &Value) -> Result<(), String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(format!("a {kind} is wanted")),
        };
        if text.contains('\0') {
            return Err("it holds a NUL character".to_owned());
        }
        if !self.secret && written_password(&text).is_some() {
            return Err(
                "it holds a password, and the values of a parameter that is not `secret: true` are shown \
                        and stored"
                    .to_owned(),
            );
        }
        if scalar(kind, &text)? != *value {
            return Err(format!("a {kind} is wanted, not {value}"));
        }
        if kind == Type::Choice {
            let choices = self.choices.as_deref().unwrap_or_default();
            if !choices.contains(&text) {
                let hint = suggest(&text, choices.iter().map(String::as_str));
                return Err(format!("`{text}` is not one of its choices; {hint}"));
            }
        }
        self.in_range(kind, value, &text)?;
        if let Some(pattern) = &self.pattern {
            let whole = regex::Regex::new(&format!("^(?:{})$", pattern.value))
                .map_err(|_| "its pattern is not a regular expression".to_owned())?;
            if !whole.is_match(&text) {
                return Err(format!("it does not match the pattern `{}`", pattern.value));
            }
        }
        Ok(())
    }

    fn in_range(&self, kind: Type, value: &Value, text: &str) -> Result<(), String> {
        let (size, what) = match (kind, value.as_f64()) {
            (Type::Integer | Type::Number, Some(number)) => (number, "it is"),
            _ => (text.chars().count() as f64, "its length is"),
        };
        match (self.min, self.max) {
            (Some(min), _) if size < min => Err(format!("{what} {size}, less than {min}")),
            (_, Some(max)) if size > max => Err(format!("{what} {size}, more than {max}")),
            _ => Ok(()),
        }
    }
}

fn scalar(kind: Type, text: &str) -> Result<Value, String> {
    let wrong = |wanted: &str| format!("`{text}` is not {wanted}");
    match kind {
        Type::String | Type::Choice | Type::Path | Type::List => Ok(Value::String(text.to_owned())),
        Type::Integer => text.parse::<i64>().map(Value::from).map_err(|_| wrong("a whole number")),
        Type::Number => text
            .parse::<f64>()
            .ok()
            .and_then(|number| match text.parse::<i64>() {
                Ok(whole) => Some(Value::from(whole)),
                Err(_) => serde_json::Number::from_f64(number).map(Value::Number),
            })
            .ok_or_else(|| wrong("a number")),
        Type::Boolean => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong("`true` or `false`")),
        },
        Type::Url => {
            let scheme = text.split_once("://").map(|(scheme, rest)| (scheme, rest.is_empty()));
            match scheme {
                Some(("http" | "https", false)) if !text.contains(char::is_whitespace) => {
                    Ok(Value::String(text.to_owned()))
                }
                _ => Err(wrong("an address that begins with http:// or https://")),
            }
        }
        Type::Timestamp => match text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(Value::String(text.to_owned())),
            Err(_) => Err(wrong("a time such as 2026-11-22T03:11:00Z")),
        },
        Type::Duration => match Duration::parse(text) {
            Some(_) => Ok(Value::String(text.to_owned())),
            None => Err(wrong("a duration such as 30s, 5m or 7d")),
        },
    }
}

/// The default of a parameter as a value; findings when it is not one of its own.
pub fn default_of(name: &str, param: &Param, findings: &mut Vec<Finding>) -> Option<Value> {
    let default = param.default.as_ref()?;
    let value: Value = default
        .value
        .build::<std::convert::Infallible>(&mut |text| Ok(Value::String(text.raw.clone())))
        .unwrap_or_default();
    // `default: 12` of a string parameter means the text.
    let value = match (param.type_.value, &value) {
        (Type::Integer | Type::Number | Type::Boolean | Type::List, _) => value,
        (_, Value::Number(_) | Value::Bool(_)) => Value::String(value.to_string()),
        _ => value,
    };
    if let Err(why) = param.accept(&value) {
        let message = format!("the default of `{name}` is not a value of it: {why}");
        findings.push(Finding::error("runplan::plan::bad_default", default.span, message));
        return None;
    }
    Some(value)
}
