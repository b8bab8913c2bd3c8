//! Which of the two engines a configuration is for: the one of the plan, or the one that its authors released. Says why.

use crate::import::{entries, text_of};
use balefire_model::settings::{Node, Value};

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The one of the plan.
    Plan,
    /// The one that was released.
    Shipped,
}

impl Dialect {
    /// The word in configurations and on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Dialect::Plan => "plan",
            Dialect::Shipped => "shipped",
        }
    }
}

/// Correlation rules that one engine has, and the other under another name.
const RULES: [(&str, Dialect); 4] = [
    ("after_hours_access", Dialect::Plan),
    ("cross_tenant_access", Dialect::Plan),
    ("after_hours", Dialect::Shipped),
    ("cross_tenant", Dialect::Shipped),
];

/// The engine that the tree is for, and what gives it away. `has_local`: a `config.local.yaml` was laid over it.
pub(super) fn detect(tree: &Node, has_local: bool) -> (Dialect, &'static str) {
    let rules = tree.get("correlation").and_then(|correlation| correlation.get("rules"));
    let named = RULES.iter().find(|(name, _)| rules.is_some_and(|rules| rules.get(name).is_some()));
    match named {
        Some((_, Dialect::Plan)) => (Dialect::Plan, "its correlation rules have the names of the plan"),
        Some((_, Dialect::Shipped)) => {
            (Dialect::Shipped, "its correlation rules have the names of the released engine")
        }
        None if has_local => (Dialect::Shipped, "only the released engine reads a config.local.yaml"),
        None if has_reference(tree) => (Dialect::Shipped, "only the released engine reads ${NAME} in values"),
        None => (Dialect::Plan, "nothing in it is of the released engine alone"),
    }
}

fn has_reference(node: &Node) -> bool {
    match &node.value {
        Value::Map(_) => entries(node).any(|(_, node)| has_reference(node)),
        Value::List(items) => items.iter().any(has_reference),
        Value::Null | Value::Scalar { .. } => text_of(node).is_some_and(|text| text.contains("${")),
    }
}
