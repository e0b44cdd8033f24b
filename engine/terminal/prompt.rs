//! Asks the person at the terminal, one question at a time, on a thread of its own; an answer may come from elsewhere
//! meanwhile. Whoever cannot decide is told who can instead. Must never take silence, or the end of the input, for an answer.

use super::cells::wrapped;
use super::keyboard::{Keyboard, Typed};
use super::posed::Posed;
use super::question::{Answer, Question};
use super::screen::Screen;
use super::surface::Surface;
use super::typing::{Key, Typing};
use crate::drive::Asker;
use crate::plan::StepId;
use crate::run::{Post, Resolution, State};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;

/// Why the run stops when nobody can type any more.
const LEFT: &str = "Ctrl-D at the question";

/// The questions that are open.
pub struct Prompts {
    screen: Screen,
    surface: Surface,
    me: String,
    /// None: nobody can be asked at all.
    desk: Option<Arc<Desk>>,
    thread: Option<JoinHandle<()>>,
    /// What was told of questions that others decide.
    told: HashMap<StepId, Question>,
}

/// What is to be asked, as the run and the keyboard see it.
#[derive(Default)]
struct Desk {
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    orders: Vec<Order>,
    is_over: bool,
}

#[derive(Clone)]
struct Order {
    question: Question,
    reply: UnboundedSender<Post>,
}

impl Prompts {
    /// `attended`: somebody can be asked at all; `me`: who.
    pub fn new(screen: &Screen, surface: Surface, me: &str, attended: bool) -> Self {
        let desk = attended.then(Arc::<Desk>::default);
        let thread = desk.clone().and_then(|desk| {
            let clerk = Clerk { screen: screen.clone(), surface: surface.clone(), desk };
            // A thread that cannot be started asks nothing: the run says which command answers.
            std::thread::Builder::new().name("prompt".to_owned()).spawn(move || clerk.work()).ok()
        });
        Self { screen: screen.clone(), surface, me: me.to_owned(), desk, thread, told: HashMap::new() }
    }

    /// Who can decide, how, and until when.
    fn tell(&self, question: &Question, why: &str) {
        let mut said = question.lines.clone();
        let whose = question.whose.as_deref().unwrap_or("to be typed in any terminal");
        said.push(format!("You are not asked: {why}. The run waits; {whose}:"));
        self.surface.unpose(&question.step);
        self.surface.print(&written(&self.screen, &question.title, &said, &question.commands));
    }
}

impl Asker for Prompts {
    fn ask(&mut self, state: &State, step: &StepId, reply: UnboundedSender<Post>) {
        let Some(desk) = &self.desk else { return };
        let Some(question) = Question::of(state, step, &self.me, &self.screen.zone) else {
            return self.withdraw(step);
        };
        match question.barred.clone() {
            None => desk.put(Order { question, reply }),
            Some(why) => {
                desk.take(step);
                if self.told.get(step) != Some(&question) {
                    self.tell(&question, &why);
                    self.told.insert(step.clone(), question);
                }
            }
        }
    }

    fn withdraw(&mut self, step: &StepId) {
        if self.desk.as_ref().is_some_and(|desk| desk.take(step)) {
            self.surface.unpose(step);
            self.surface.print(&format!(
                "the question about {step} is closed: it was decided elsewhere, or its time is up"
            ));
        }
    }

    fn end(&mut self) {
        let Some(desk) = &self.desk else { return };
        for order in std::mem::take(&mut desk.lock().orders) {
            self.surface.unpose(&order.question.step);
        }
    }
}

impl Drop for Prompts {
    fn drop(&mut self) {
        self.end();
        if let Some(desk) = &self.desk {
            desk.lock().is_over = true;
            desk.changed.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            // It gives the terminal back.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// A question, or what has become of one that is open.
    fn put(&self, order: Order) {
        let mut open = self.lock();
        match open.orders.iter_mut().find(|known| known.question.step == order.question.step) {
            Some(known) => *known = order,
            None => open.orders.push(order),
        }
        self.changed.notify_all();
    }

    /// Whether it was open.
    fn take(&self, step: &StepId) -> bool {
        let mut open = self.lock();
        let before = open.orders.len();
        open.orders.retain(|order| order.question.step != *step);
        before != open.orders.len()
    }

    fn get(&self, step: &StepId) -> Option<Order> {
        self.lock().orders.iter().find(|order| order.question.step == *step).cloned()
    }

    /// The one that was asked first, as soon as there is one; None: there will not be any more.
    fn next(&self) -> Option<Order> {
        let mut open = self.lock();
        loop {
            if open.is_over {
                return None;
            }
            if let Some(first) = open.orders.first() {
                return Some(first.clone());
            }
            open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the keyboard.
struct Clerk {
    screen: Screen,
    surface: Surface,
    desk: Arc<Desk>,
}

/// The question that is asked now, and how far its answer is.
struct Asked {
    order: Order,
    typing: Typing,
    why: Option<(&'static str, Option<Resolution>)>,
    remark: Option<String>,
}

impl Clerk {
    fn work(&self) {
        while let Some(order) = self.desk.next() {
            let Some(keyboard) = Keyboard::open() else {
                self.desk.take(&order.question.step);
                self.leave(&order);
                continue;
            };
            self.ask(order, keyboard);
        }
    }

    /// Until it is answered, here or elsewhere.
    fn ask(&self, order: Order, mut keyboard: Keyboard) {
        let step = order.question.step.clone();
        let mut asked = Asked { order, typing: Typing::default(), why: None, remark: None };
        self.surface.pose(asked.posed());
        loop {
            match self.desk.get(&step) {
                None => return self.surface.unpose(&step),
                Some(now) if now.question != asked.order.question => {
                    asked.order = now;
                    self.surface.pose(asked.posed());
                }
                Some(now) => asked.order = now,
            }
            self.surface.tick();
            let keys = match keyboard.read() {
                Typed::Nothing => continue,
                Typed::Keys(keys) => keys,
                Typed::End => return self.stop(&asked.order),
            };
            for byte in keys {
                match asked.typing.feed(byte) {
                    None => {}
                    Some(Key::Edited) => self.surface.typed(&step, &asked.typing),
                    Some(Key::Line(line)) => {
                        self.surface.entered();
                        if let Some(post) = self.read(&mut asked, &line) {
                            return self.reply(&asked.order, post);
                        }
                        self.surface.pose(asked.posed());
                    }
                    Some(Key::End) => return self.stop(&asked.order),
                }
            }
        }
    }

    /// What a line comes to, if it comes to anything.
    fn read(&self, asked: &mut Asked, line: &str) -> Option<Post> {
        let question = &asked.order.question;
        let answer = match asked.why.take() {
            None => question.read(line),
            Some((_, resolution)) => question.with_reason(resolution, line),
        };
        asked.remark = None;
        match answer {
            Answer::Post(post) => return Some(post),
            Answer::Why { ask, resolution } => asked.why = Some((ask, resolution)),
            Answer::Again(hint) => asked.remark = Some(hint),
            Answer::More => self.tell_all(question),
        }
        None
    }

    /// The answer counts only when it is journaled; the question goes before it comes again.
    fn reply(&self, order: &Order, post: Post) {
        let step = &order.question.step;
        let was_open = self.desk.take(step);
        self.surface.unpose(step);
        if was_open {
            // The run is ending.
            let _ = order.reply.send(post);
        }
    }

    fn tell_all(&self, question: &Question) {
        let mut said = [question.lines.clone(), question.whole.clone()].concat();
        said.push("From any terminal:".to_owned());
        self.surface.print(&written(&self.screen, &question.title, &said, &question.commands));
    }

    /// Nobody types any more: nothing is decided, and nothing else is asked.
    fn stop(&self, order: &Order) {
        self.surface.entered();
        self.leave(order);
        self.desk.lock().orders.retain(|other| other.question.step == order.question.step);
        self.reply(order, Post::Stop { hard: false, reason: LEFT.to_owned() });
    }

    /// How to answer without this keyboard.
    fn leave(&self, order: &Order) {
        let title = format!("{} is not answered; from any terminal:", order.question.step);
        self.surface.print(&written(&self.screen, &title, &[], &order.question.commands));
    }
}

/// Lines that stay: sentences are broken between words, commands by nobody but the terminal.
fn written(screen: &Screen, title: &str, said: &[String], commands: &[String]) -> String {
    let broken = |line: String| match screen.live {
        true => wrapped(&line, screen.width, 4),
        false => vec![line],
    };
    let mut lines = broken(title.to_owned());
    lines.extend(said.iter().flat_map(|line| broken(format!("  {line}"))));
    lines.extend(commands.iter().map(|command| format!("  {}", screen.command(command))));
    lines.join("\n")
}

impl Asked {
    fn posed(&self) -> Posed {
        let question = &self.order.question;
        Posed {
            step: question.step.clone(),
            title: question.title.clone(),
            lines: question.lines.clone(),
            ask: self.why.map_or(question.ask(), |(ask, _)| ask).to_owned(),
            remark: self.remark.clone(),
            typing: self.typing.clone(),
        }
    }
}
