//! Input files; `-` is standard input.

use std::io::Read;
use std::path::Path;

/// Returns the text of `file`. An error names the file.
pub(crate) fn read(file: &Path) -> Result<String, String> {
    text(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))
}

fn text(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}
