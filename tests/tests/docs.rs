//! Generated documents say what the binary says.

use balefire_tests::server::Site;
use std::path::Path;

fn check(what: &str, document: &str) {
    let site = Site::new("");
    let output = site.run(&["reference", what]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").join(document);
    let kept = std::fs::read(&path).expect("the document exists");
    let current = output.stdout == kept;
    assert!(current, "{document} is out of date: run `balefire reference {what} > {document}`");
}

#[test]
fn the_reference_of_the_configuration_is_current() {
    check("configuration", "docs/configuration.md");
}

#[test]
fn the_reference_of_the_commands_is_current() {
    check("cli", "docs/cli.md");
}
