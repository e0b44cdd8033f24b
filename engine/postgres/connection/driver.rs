//! What moves a connection's bytes, and what it hears meanwhile. Must never send anything of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_postgres::AsyncMessage;

/// Older notices than the last so many are forgotten.
const MOST_NOTICES: usize = 1_000;

/// A notice or warning that the server sent beside its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// What the driver heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    notices: Mutex<VecDeque<Notice>>,
    end: Mutex<Option<String>>,
}

/// Moves bytes until the connection ends, and keeps what the server says unasked.
pub(super) async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, heard: Arc<Heard>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => heard.note(&notice),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                // Before the connection is dropped, so that whoever waits for an answer finds the reason.
                let why =
                    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned());
                heard.ended(&why);
                return;
            }
            None => return,
        }
    }
}

impl Heard {
    /// The first reason stays: what follows is its consequence.
    pub(super) fn ended(&self, why: &str) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
    }

    pub(super) fn end(&self) -> Option<String> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn take_notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn note(&self, notice: &tokio_postgres::error::DbError) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() == MOST_NOTICES {
            notices.pop_front();
        }
        notices.push_back(Notice {
            severity: notice.severity().to_owned(),
            sqlstate: notice.code().code().to_owned(),
            message: notice.message().to_owned(),
            detail: notice.detail().map(str::to_owned),
            hint: notice.hint().map(str::to_owned),
        });
    }
}
