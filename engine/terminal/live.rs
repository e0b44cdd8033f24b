//! The live view: what runs, who is waited for and what is closed stands below, and is drawn over; what is over is
//! printed above it and stays.

use super::board::{Board, Room};
use super::drawing::{Canvas, draw};
use super::gauge::Gauge;
use super::line::Lines;
use super::paint::Tone;
use super::plain::{is_wanted, said};
use super::scene::{Scene, Scenes};
use super::screen::Screen;
use crate::clock;
use crate::drive::Stop;
use crate::plan::StepId;
use crate::plan::action::notify::Level;
use crate::report::{self, amount};
use crate::review::Usual;
use crate::run::{Event, Phase, Record, State};
use crate::steps::Progress;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Clocks show whole seconds; a change of the terminal's size should not be waited for.
const TICK: Duration = Duration::from_millis(200);

pub struct Live {
    screen: Screen,
    lines: Lines,
    scenes: Scenes,
    easel: Arc<Easel>,
    gauges: HashMap<StepId, Gauge>,
    role: Role,
    /// Windows that are known to be open, and since when.
    open: HashSet<(String, Timestamp)>,
    /// Ends the thread that keeps the clocks going.
    end: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Whose view it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of the process that drives the run.
    Drives,
    /// Of one that looks at it while it is driven.
    Watches,
    /// Of one that goes on looking when it is parked.
    Stays,
}

/// What is drawn now, from whichever thread.
struct Easel {
    board: Arc<Board>,
    screen: Screen,
    /// None: nothing is drawn any more.
    scene: Mutex<Option<Scene>>,
}

impl Live {
    pub fn new(
        board: Arc<Board>,
        screen: &Screen,
        state: &State,
        usual: HashMap<StepId, Usual>,
        role: Role,
    ) -> Self {
        let scenes = Scenes::new(&state.shape, usual, role != Role::Drives, screen.clone());
        let easel = Easel { board, screen: screen.clone(), scene: Mutex::default() };
        let mut live = Self {
            screen: screen.clone(),
            lines: Lines::new(screen, state),
            scenes,
            easel: Arc::new(easel),
            gauges: HashMap::new(),
            role,
            open: open_now(state),
            end: None,
        };
        if state.started.is_some() {
            live.show(state);
        }
        live
    }

    pub fn recorded(&mut self, record: &Record, state: &State) {
        if matches!(record.event, Event::PlanAmended(_)) {
            self.scenes.reshape(&state.shape);
            self.lines = Lines::new(&self.screen, state);
        }
        let is_over = match record.event {
            Event::Parked { .. } => self.role != Role::Stays,
            Event::RunFinished { .. } => true,
            _ => state.parked.is_some() && self.role != Role::Stays || state.phase == Phase::Finished,
        };
        if let Some(step) = record.event.step().filter(|step| state.running().all(|id| id != *step)) {
            self.gauges.remove(step);
        }
        match is_over {
            true => self.easel.put_away(),
            false => self.show(state),
        }
        self.tell(record, state);
        self.tell_of_windows(state);
    }

    fn tell(&self, record: &Record, state: &State) {
        let told = report::tell(record, state);
        // What runs has a line of its own below.
        let started = matches!(record.event, Event::StepStarted { .. } | Event::UndoStarted { .. });
        let board = &self.easel.board;
        if is_wanted(&self.screen, &told) && (!started || self.screen.verbose > 0) {
            board.print(&self.lines.of(record.at, &told));
        }
        let by_hand =
            matches!(&record.event, Event::StopRequested { hard: false, reason } if reason == Stop::CTRL_C);
        if by_hand && self.role == Role::Drives {
            board.print("Ctrl-C again cancels what runs");
        }
    }

    pub fn progress(&mut self, step: &StepId, progress: &Progress, state: &State) {
        let now = clock::now();
        match self.gauges.get_mut(step) {
            Some(gauge) => gauge.tell(progress.clone(), now),
            None => drop(self.gauges.insert(step.clone(), Gauge::new(progress.clone(), now))),
        }
        self.show(state);
    }

    /// Whether its process has died, and nothing goes on.
    pub fn orphan(&mut self, orphaned: bool, state: &State) {
        self.scenes.orphan(orphaned);
        self.show(state);
    }

    pub fn said(&mut self, step: &StepId, level: Level, message: &str) {
        self.easel.board.print(&said(&self.lines, step, level, message));
    }

    /// That the application is open again stays to be seen, with how long it was not.
    fn tell_of_windows(&mut self, state: &State) {
        for window in report::windows(state) {
            match window.closed_at {
                None => drop(self.open.insert((window.window, window.opened_at))),
                Some(closed) if self.open.remove(&(window.window.clone(), window.opened_at)) => {
                    let time = amount::span(amount::between(window.opened_at, closed));
                    let text = format!("window {} open to traffic again after {time}", window.window);
                    self.easel.board.print(&self.lines.one(closed, Tone::Strong, "run", &text));
                }
                Some(_) => {}
            }
        }
    }

    fn show(&mut self, state: &State) {
        self.easel.put(self.scenes.scene(state, &self.gauges));
        if self.end.is_none() {
            let (end, ended) = channel::<()>();
            let easel = self.easel.clone();
            let work = move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    easel.draw();
                }
            };
            // Without the thread the clocks go on with the next event.
            let thread = std::thread::Builder::new().name("screen".to_owned()).spawn(work);
            self.end = thread.ok().map(|thread| (end, thread));
        }
    }
}

/// Stretches of windows that are not over.
pub fn open_now(state: &State) -> HashSet<(String, Timestamp)> {
    let open = report::windows(state).into_iter().filter(|window| window.closed_at.is_none());
    open.map(|window| (window.window, window.opened_at)).collect()
}

impl Easel {
    fn put(&self, scene: Scene) {
        *self.lock() = Some(scene);
        self.draw();
    }

    fn put_away(&self) {
        let mut scene = self.lock();
        *scene = None;
        self.board.clear();
    }

    fn draw(&self) {
        let scene = self.lock();
        let Some(scene) = scene.as_ref() else { return };
        self.board.draw(&|room: Room| {
            let canvas = Canvas {
                columns: room.columns,
                rows: room.rows,
                asked: room.asked,
                paint: self.screen.paint(),
                zone: self.screen.zone.clone(),
            };
            draw(scene, clock::now(), &canvas)
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Scene>> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.easel.put_away();
        if let Some((end, thread)) = self.end.take() {
            drop(end);
            // It has nothing to say about how it ended.
            let _ = thread.join();
        }
    }
}
