//! What can be read of a Linux machine, one kind of reading a file. A sensor takes a reading when it is told to, and decides
//! nothing.

pub(crate) mod space;
