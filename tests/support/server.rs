//! An HTTP server that answers as a test tells it and remembers what it was asked.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request as it came.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Status, headers, body.
pub type Told = (u16, Vec<(String, String)>, String);

/// What to do with a request; None: hang up without an answer.
type Answer = Box<dyn FnMut(&Asked) -> Option<Told> + Send>;

pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(mut answer: impl FnMut(&Asked) -> Option<(u16, String)> + Send + 'static) -> Self {
        Self::with_headers(move |asked| answer(asked).map(|(status, body)| (status, Vec::new(), body)))
    }

    pub fn with_headers(answer: impl FnMut(&Asked) -> Option<Told> + Send + 'static) -> Self {
        Self::on("http", answer, |stream, remembered, answer| serve(stream, remembered, answer).map(drop))
    }

    /// Over TLS, as `localhost`.
    pub fn secure(tls: ServerConfig, answer: impl FnMut(&Asked) -> Option<Told> + Send + 'static) -> Self {
        let tls = Arc::new(tls);
        let mut server = Self::on("https", answer, move |stream, remembered, answer| {
            let session = ServerConnection::new(tls.clone()).expect("a session");
            let mut stream = serve(StreamOwned::new(session, stream), remembered, answer)?;
            stream.conn.send_close_notify();
            stream.flush()
        });
        server.url = server.url.replace("127.0.0.1", "localhost");
        server
    }

    fn on(
        scheme: &str,
        answer: impl FnMut(&Asked) -> Option<Told> + Send + 'static,
        serve: impl Fn(TcpStream, &Mutex<Vec<Asked>>, &mut Answer) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = asked.clone();
        let mut answer: Answer = Box::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &remembered, &mut answer);
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve<S: Read + Write>(
    stream: S,
    remembered: &Mutex<Vec<Asked>>,
    answer: &mut Answer,
) -> std::io::Result<S> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        ..Asked::default()
    };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        asked.headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    remembered.lock().unwrap().push(asked.clone());
    let mut stream = reader.into_inner();
    let Some((status, headers, body)) = answer(&asked) else { return Ok(stream) };
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "\r\n{body}")?;
    Ok(stream)
}
