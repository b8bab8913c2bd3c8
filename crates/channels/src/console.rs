//! The console channel: a boxed panel on a terminal, a plain line elsewhere, on standard error.
