//! The two ways libpq writes a connection down, URL and `key=value`, read into pairs. Must never judge a value:
//! that is the part of `Settings`.

use super::super::error::Error;
use crate::secret::Secret;

/// Key and value, in the order given. Values are secrets until it is known which of them is the password.
pub(super) type Pairs = Vec<(String, Secret)>;

pub(super) fn read(text: &str) -> Result<Pairs, Error> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => url(rest),
        None if text.contains('=') || text.trim().is_empty() => key_value(text),
        // Taken for a name, it would mean a server on this machine that nobody had in mind.
        None if text.contains("://") || text.trim().contains(char::is_whitespace) => Err(malformed(
            "it is neither a URL nor `key=value` nor the name of a database",
            "write it as postgresql://USER@HOST/DATABASE",
        )),
        None => Ok(vec![("dbname".to_owned(), Secret::new(text.trim()))]),
    }
}

fn url(rest: &str) -> Result<Pairs, Error> {
    refuse_bare_password(rest)?;
    let mut pairs = Pairs::new();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = match authority.rsplit_once('@') {
        Some((who, hosts)) => {
            let (user, password) = who.split_once(':').unwrap_or((who, ""));
            push(&mut pairs, "user", user)?;
            push(&mut pairs, "password", password)?;
            hosts
        }
        None => authority,
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = host_port(host)?;
        names.push(decode(name)?);
        ports.push(port.to_owned());
    }
    if names.iter().any(|name| !name.is_empty()) || names.len() > 1 {
        pairs.push(("host".to_owned(), Secret::new(names.join(","))));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        pairs.push(("port".to_owned(), Secret::new(ports.join(","))));
    }
    push(&mut pairs, "dbname", database)?;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            malformed("a parameter after `?` has no `=`", "write each as name=value, joined by `&`")
        })?;
        pairs.push((decode(key)?, Secret::new(decode(value)?)));
    }
    // The JDBC spelling, which libpq takes too.
    for (key, value) in &mut pairs {
        if key == "ssl" && value.expose() == "true" {
            *key = "sslmode".to_owned();
            *value = Secret::new("require");
        }
    }
    super::prisma::translated(pairs)
}

/// An `@` or a `/` of the password, taken for the end of it, would make its rest the host, which is shown.
fn refuse_bare_password(rest: &str) -> Result<(), Error> {
    let (before, _) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = before.split_once('/').map_or(before, |(authority, _)| authority);
    // `user:p` is no host with its port.
    let before_port =
        authority.rsplit_once(':').filter(|(_, port)| !port.chars().all(|c| c.is_ascii_digit() || c == ']'));
    // Several in the authority are no doubt: the last one ends the password.
    let is_cut = match authority.contains('@') {
        true => before.get(authority.len()..).is_some_and(|path| path.contains('@')),
        false => before_port.is_some() && rest.contains('@'),
    };
    match is_cut {
        false => Ok(()),
        true => Err(malformed(
            "an `@` or a `/` stands in its user or password as it is",
            "percent-encode the password: write `@` as %40, `/` as %2F, `:` as %3A, `?` as %3F, `#` as %23",
        )),
    }
}

fn push(pairs: &mut Pairs, key: &str, encoded: &str) -> Result<(), Error> {
    if !encoded.is_empty() {
        pairs.push((key.to_owned(), Secret::new(decode(encoded)?)));
    }
    Ok(())
}

/// `name:port`, where the name may be an IPv6 address in brackets.
fn host_port(text: &str) -> Result<(&str, &str), Error> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest
            .split_once(']')
            .ok_or_else(|| malformed("an IPv6 address is not closed by `]`", "write it as [::1]:5432"))?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if after.is_empty() => Ok((address, "")),
            None => Err(malformed("text follows an IPv6 address", "write it as [::1]:5432")),
        };
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

fn decode(text: &str) -> Result<String, Error> {
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    let wrong_percent = text
        .split('%')
        .skip(1)
        .any(|after| after.len() < 2 || !after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    if wrong_percent || bytes.contains(&0) {
        return Err(malformed(
            "a `%` in it is not followed by two hexadecimal digits",
            "write a literal percent sign as %25",
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| malformed("its percent-encoding is not UTF-8", "encode the text as UTF-8 first"))
}

fn key_value(text: &str) -> Result<Pairs, Error> {
    let mut pairs = Pairs::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(malformed("a word in it has no `=` after it", "write name=value pairs, or a URL"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let value = if chars.next_if_eq(&'\'').is_some() { quoted(&mut chars)? } else { bare(&mut chars) };
        pairs.push((key, Secret::new(value)));
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn bare(chars: &mut Chars<'_>) -> String {
    let mut value = String::new();
    while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
        if c == '\\' {
            value.extend(chars.next());
        } else {
            value.push(c);
        }
    }
    value
}

fn quoted(chars: &mut Chars<'_>) -> Result<String, Error> {
    let mut value = String::new();
    loop {
        match chars.next() {
            Some('\'') => return Ok(value),
            Some('\\') => value.extend(chars.next()),
            Some(c) => value.push(c),
            None => return Err(malformed("a quoted value is not closed", "end it with a single quote")),
        }
    }
}

fn malformed(what: &str, help: &str) -> Error {
    Error::settings(format!("the connection string cannot be read: {what}"), help)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_password_that_is_not_encoded_is_refused_and_no_part_of_it_is_said() {
        for url in ["app:p@ss/w@db:5432/app", "app:pass/w@db/app", "app:pass?w@db/app"] {
            let error = read(&format!("postgresql://{url}")).unwrap_err();
            let said = format!("{} {}", error.message(), error.help().unwrap_or_default());
            assert!(
                said.contains("percent-encode the password")
                    && !said.contains("ss/")
                    && !said.contains("pass/")
                    && !said.contains("p@"),
                "{url}: {said}"
            );
        }
        for url in [
            "app:p%40ss%2Fw@db:5432/app",
            "app:p@ss@db/app",
            "db:5432/d@b",
            "[::1]:5432/app",
            "app@db/app?options=-c%20a=b@c",
            "a,b:1/app",
        ] {
            assert!(read(&format!("postgresql://{url}")).is_ok(), "{url}");
        }
    }
}
