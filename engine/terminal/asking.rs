//! Questions before a run begins: values, the reason, yes or no. Must never be asked where nobody can answer.

use super::screen::Screen;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, Input, Password, Select};

fn theme(screen: &Screen) -> Box<dyn Theme> {
    match screen.error_paint().colour {
        true => Box::new(ColorfulTheme::default()),
        false => Box::new(SimpleTheme),
    }
}

/// A value that `check` accepts. None: nobody gave one.
pub fn ask_value(
    screen: &Screen,
    prompt: &str,
    choices: Option<&[String]>,
    secret: bool,
    check: &dyn Fn(&str) -> Result<(), String>,
) -> Option<String> {
    let theme = theme(screen);
    if let Some(choices) = choices {
        let chosen = Select::with_theme(&*theme)
            .with_prompt(prompt)
            .items(choices)
            .default(0)
            .interact_opt()
            .ok()??;
        return choices.get(chosen).cloned();
    }
    if secret {
        return Password::with_theme(&*theme)
            .with_prompt(prompt)
            .validate_with(|text: &String| check(text))
            .interact()
            .ok();
    }
    Input::<String>::with_theme(&*theme)
        .with_prompt(prompt)
        .validate_with(|text: &String| check(text))
        .interact_text()
        .ok()
}

/// A plain yes; anything else is no.
pub fn confirm(screen: &Screen, question: &str) -> bool {
    let theme = theme(screen);
    Confirm::with_theme(&*theme).with_prompt(question).default(false).interact().unwrap_or(false)
}
