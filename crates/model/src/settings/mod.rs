//! Raw settings become resolved ones: a tree of values that know their place in the file, and a reader that collects
//! every problem instead of stopping at the first. The same calls that read the settings describe them, so that the
//! JSON Schema and the reference cannot drift from the code. Reads no file itself: secrets come from a loader.

mod command;
mod describe;
mod node;
mod problem;
mod reader;
mod units;

pub use describe::{FieldDoc, Shape};
pub use node::{Key, Node, Place, Value};
pub use problem::{Problem, suggest};
pub use reader::{Field, Reader, Session};
pub use units::{parse_bytes, parse_duration};
