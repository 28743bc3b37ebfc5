//! Progress bars on stderr; nothing where stderr is no terminal.

use super::tell;
use crate::pipeline::Event;
use crate::train::{Losses, TrainEvent};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::Mutex;

pub(super) struct Progress {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { bar: Mutex::new(None) }
    }

    pub(super) fn show(&self, event: Event) {
        let mut bar = self.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match event {
            Event::Train(event) => show_training(&mut bar, event),
            Event::StageStarted { name } => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                tell!("{name}");
            }
            Event::EmbeddingsReady { count } => tell!("compared {count} captures"),
            Event::DeviceChosen { name, reason } => tell!("device: {name} ({reason})"),
            Event::LayoutDetected { reason } => tell!("{reason}"),
            Event::CapturesFound { total } => {
                *bar = Some(styled(
                    total,
                    "{wide_bar} {pos}/{len} captures, {per_sec}, {eta} left  {msg}",
                ));
            }
            Event::CaptureFinished { name } => {
                if let Some(bar) = bar.as_ref() {
                    bar.set_message(name);
                    bar.inc(1);
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        let mut bar = self.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(bar) = bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn styled(total: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(total as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show_training(bar: &mut Option<ProgressBar>, event: TrainEvent) {
    // Above the bar where there is one, plain lines where stderr is no terminal.
    let say = |bar: &Option<ProgressBar>, line: String| match bar {
        Some(bar) if !bar.is_hidden() => bar.println(line),
        _ => tell!("{line}"),
    };
    match event {
        TrainEvent::Started { samples, people, epochs, steps, resumed_epochs, resumed_steps } => {
            tell!("training on {samples} captures of {people} people");
            if resumed_steps > 0 {
                tell!(
                    "going on after epoch {resumed_epochs} of {epochs}, step {resumed_steps} of {steps}"
                );
            }
            let new =
                styled(steps, "{wide_bar} step {pos}/{len}, {per_sec}, {eta} left, loss {msg}");
            new.set_position(resumed_steps);
            new.reset_eta();
            *bar = Some(new);
        }
        TrainEvent::StepFinished { loss, .. } => {
            if let Some(bar) = bar.as_ref() {
                bar.set_message(format!("{loss:.3}"));
                bar.inc(1);
            }
        }
        TrainEvent::EpochFinished { epoch, losses, learning_rate, validation, pace, .. } => {
            let found = validation.and_then(|v| v.auc);
            let found = found.map_or(String::new(), |auc| format!(", validation AUC {auc:.4}"));
            say(
                bar,
                format!(
                    "epoch {epoch}: {}{found}, rate {learning_rate:.1e}, {:.0} images/s, waited {:.0} %",
                    describe(&losses),
                    pace.images_per_second,
                    100.0 * pace.waited
                ),
            );
        }
        TrainEvent::CheckpointWritten { path } => {
            say(bar, format!("checkpoint {}", path.display()));
        }
        TrainEvent::Warning { text } => say(bar, format!("warning: {text}")),
    }
}

fn describe(losses: &Losses) -> String {
    let mut text = format!("loss {:.3}, identity {:.3}", losses.total, losses.identity);
    for (task, loss) in &losses.tasks {
        text.push_str(&format!(", {task} {loss:.3}"));
        if let Some(adversary) = losses.adversarial.get(task) {
            text.push_str(&format!(" (adversary {adversary:.3})"));
        }
    }
    text
}
