//! The growth table: what one step costs in a plan of each size.

use super::plans::Shape;
use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Growth {
    rows: Vec<Row>,
}

/// All times of one phase over one plan.
#[derive(Debug)]
struct Row {
    phase: &'static str,
    shape: Shape,
    steps: usize,
    times: Vec<Duration>,
}

impl Growth {
    pub fn note(&mut self, phase: &'static str, shape: Shape, steps: usize, time: Duration) {
        let same = |row: &Row| row.phase == phase && row.shape == shape && row.steps == steps;
        match self.rows.iter_mut().rev().find(|row| same(row)) {
            Some(row) => row.times.push(time),
            None => self.rows.push(Row { phase, shape, steps, times: vec![time] }),
        }
    }

    fn median(&self, phase: &str, shape: Shape, steps: usize) -> Option<Duration> {
        let row =
            self.rows.iter().find(|row| row.phase == phase && row.shape == shape && row.steps == steps)?;
        let mut times = row.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

impl Display for Growth {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut phases: Vec<&str> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        for row in &self.rows {
            if !phases.contains(&row.phase) {
                phases.push(row.phase);
            }
            if !sizes.contains(&row.steps) {
                sizes.push(row.steps);
            }
        }
        let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) else { return Ok(()) };
        writeln!(f, "\n| phase | plan | steps | median | a step | as much as of {least} | of reading it |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: | ---: |")?;
        for phase in phases {
            for shape in Shape::ALL {
                for &steps in &sizes {
                    let Some(time) = self.median(phase, shape, steps) else { continue };
                    let each = time.as_secs_f64() / steps as f64;
                    let of = |other: Option<f64>| {
                        other.map_or_else(|| "-".to_owned(), |other| format!("{:.2}", each / other))
                    };
                    let first =
                        self.median(phase, shape, *least).map(|time| time.as_secs_f64() / *least as f64);
                    let read =
                        self.median("read", shape, steps).map(|time| time.as_secs_f64() / steps as f64);
                    let growth = of(first.filter(|_| steps != *least));
                    let (whole, each) = (time.as_secs_f64() * 1e3, each * 1e6);
                    let shape = shape.word();
                    writeln!(
                        f,
                        "| {phase} | {shape} | {steps} | {whole:.3} ms | {each:.2} µs | {growth} | {} |",
                        of(read)
                    )?;
                }
            }
        }
        writeln!(f, "\nLinear growth is 1.00 in the sixth column; up to {most} steps.")
    }
}
