//! The MongoDB transport against a server that answers by script: what each document of a command hears.
