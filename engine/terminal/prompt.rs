//! Asks the person at the terminal, one question at a time, on a thread of its own; an answer may come from elsewhere
//! meanwhile. Must never take silence, or the end of the input, for an answer.

use super::board::Board;
use super::keyboard::{Keyboard, Typed};
use super::paint::Tone;
use super::question::{Answer, Question};
use super::screen::Screen;
use crate::drive::Asker;
use crate::plan::{RunId, StepId};
use crate::run::{Post, State};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::mpsc::UnboundedSender;

struct Order {
    run: RunId,
    question: Question,
    reply: UnboundedSender<Post>,
    withdrawn: Arc<AtomicBool>,
}

/// The questions that are open.
pub struct Prompts {
    orders: Option<Sender<Order>>,
    open: HashMap<StepId, Arc<AtomicBool>>,
}

impl Prompts {
    /// `attended`: somebody can be asked at all.
    pub fn new(screen: &Screen, board: Option<Arc<Board>>, attended: bool) -> Self {
        let orders = attended.then(|| {
            let (orders, queue) = channel();
            let clerk = Clerk { screen: screen.clone(), board, keyboard: Keyboard };
            // A thread that cannot be started asks nothing: the run says which command answers.
            let _ = std::thread::Builder::new().name("prompt".to_owned()).spawn(move || clerk.work(&queue));
            orders
        });
        Self { orders, open: HashMap::new() }
    }
}

impl Asker for Prompts {
    fn ask(&mut self, state: &State, step: &StepId, reply: UnboundedSender<Post>) {
        self.withdraw_open(step);
        let (Some(orders), Some(question)) = (&self.orders, Question::of(state, step)) else { return };
        let withdrawn = Arc::new(AtomicBool::new(false));
        self.open.insert(step.clone(), withdrawn.clone());
        // Nobody reads the orders any more: as without a terminal.
        let _ = orders.send(Order { run: state.run.clone(), question, reply, withdrawn });
    }

    fn withdraw(&mut self, step: &StepId) {
        self.withdraw_open(step);
    }
}

impl Prompts {
    fn withdraw_open(&mut self, step: &StepId) {
        if let Some(withdrawn) = self.open.remove(step) {
            withdrawn.store(true, Ordering::Release);
        }
    }
}

impl Drop for Prompts {
    fn drop(&mut self) {
        for withdrawn in self.open.values() {
            withdrawn.store(true, Ordering::Release);
        }
    }
}

/// Reads the keyboard.
struct Clerk {
    screen: Screen,
    board: Option<Arc<Board>>,
    keyboard: Keyboard,
}

impl Clerk {
    fn work(&self, orders: &Receiver<Order>) {
        for order in orders {
            if order.withdrawn.load(Ordering::Acquire) {
                continue;
            }
            if let Some(board) = &self.board {
                board.pause();
            }
            self.ask(&order);
            if let Some(board) = &self.board {
                board.go_on();
            }
        }
    }

    fn ask(&self, order: &Order) {
        let paint = self.screen.paint();
        let name = paint.of(Tone::Strong, order.question.step.as_str());
        self.screen.line(&format!("\n{name}"));
        for line in &order.question.lines {
            self.screen.line(&format!("  {line}"));
        }
        self.keyboard.forget();
        let mut why = None;
        loop {
            let ask = why.map_or(order.question.ask(), |(ask, _)| ask);
            self.screen.text(&paint.of(Tone::Busy, ask));
            let line = match self.keyboard.line(&|| !order.withdrawn.load(Ordering::Acquire)) {
                Typed::Line(line) => line,
                Typed::Withdrawn => return self.screen.line("\n  (answered elsewhere)"),
                Typed::End => return self.leave(order),
            };
            let answer = match why {
                None => order.question.read(&line),
                Some((_, resolution)) => order.question.with_reason(resolution, &line),
            };
            match answer {
                Answer::Post(post) => {
                    // The run is ending: the answer counts only when it is journaled.
                    let _ = order.reply.send(post);
                    return;
                }
                Answer::Why { ask, resolution } => why = Some((ask, resolution)),
                Answer::Again(hint) => self.screen.line(&format!("  {hint}")),
            }
        }
    }

    /// The keyboard is gone; the question stays open.
    fn leave(&self, order: &Order) {
        let (run, step) = (&order.run, &order.question.step);
        self.screen.line(&format!(
            "\n  not answered; answer from any terminal: runplan approve {run} {step} (or reject, resolve)"
        ));
    }
}
