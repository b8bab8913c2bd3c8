//! Settings of a program that is started: its command and its variables. Starts nothing.

use super::node::Value;
use super::reader::Reader;
use crate::text::Secret;

impl Reader<'_> {
    /// `command`: the program and its arguments, as a list; `allowed` shows one. What is wrong has been reported.
    pub fn command(&self, allowed: &'static str) -> Vec<String> {
        let doc = "The program and its arguments, as a list; no shell reads them.";
        let command = self.texts("command", doc).required(vec!["true".to_owned()]);
        let is_alone = matches!(self.node("command").map(|node| &node.value), Some(Value::Scalar { .. }));
        match command.first().map(String::as_str) {
            None | Some("") => self.reject("command", "names no program", allowed),
            Some(program) if is_alone && program.contains(char::is_whitespace) => {
                let what = "one text is the name of the program alone, and no shell would split it";
                self.reject("command", what, allowed);
            }
            Some(_) if command.iter().any(|word| word.contains('\0')) => {
                self.reject("command", "holds a NUL, which no argument can", allowed);
            }
            Some(_) => {}
        }
        command
    }

    /// `env`: the program's variables. What is wrong has been reported.
    pub fn variables(&self, doc: &'static str) -> Vec<(String, Secret)> {
        let variables = self.secret_map("env", doc).optional().unwrap_or_default();
        for (name, value) in &variables {
            if !is_variable(name) || value.expose().contains('\0') {
                let allowed = "names without = and NUL, values without NUL";
                self.reject("env", format!("{name:?} cannot be a variable"), allowed);
            }
        }
        variables
    }

    /// The setting `name`: names of variables that are handed on. What is wrong has been reported.
    pub fn variable_names(&self, name: &'static str, doc: &'static str) -> Vec<String> {
        let names = self.texts(name, doc).optional().unwrap_or_default();
        if let Some(bad) = names.iter().find(|name| !is_variable(name)) {
            self.reject(name, format!("{bad:?} cannot be a variable"), "names without = and NUL");
        }
        names
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
