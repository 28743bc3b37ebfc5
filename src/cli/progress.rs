//! Progress bars on stderr; nothing where stderr is no terminal.

use crate::pipeline::Event;
use indicatif::{ProgressBar, ProgressStyle};
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
            Event::DeviceChosen { name, reason } => eprintln!("device: {name} ({reason})"),
            Event::CapturesFound { total } => {
                let style = ProgressStyle::with_template(
                    "{wide_bar} {pos}/{len} captures, {per_sec}, {eta} left  {msg}",
                );
                *bar = Some(
                    ProgressBar::new(total as u64)
                        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
                );
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
