//! What the targets share: seeds and words for the mutator, and small readers of fuzzed bytes.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Writes seeds into the corpus directory that this process was given, and a dictionary where `-dict=` points. libFuzzer
/// calls it before it looks at either, so nothing but code is kept in the repository.
pub fn plant<S: AsRef<[u8]>, W: AsRef<[u8]>>(seeds: &[S], words: &[W]) {
    let mut corpus = None;
    for argument in std::env::args().skip(1) {
        if let Some(path) = argument.strip_prefix("-dict=") {
            let lines = words.iter().map(|word| dictionary_line(word.as_ref()));
            fs::write(path, lines.collect::<String>()).expect("the dictionary's directory is there");
        } else if !argument.starts_with('-') && corpus.is_none() {
            corpus = Some(PathBuf::from(argument)).filter(|path| path.is_dir());
        }
    }
    let Some(corpus) = corpus else { return };
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(corpus.join(format!("seed-{number}")), seed).expect("the corpus directory can be written");
    }
}

fn dictionary_line(word: &[u8]) -> String {
    let mut line = String::from("\"");
    for byte in word {
        // Writing to a string cannot fail.
        let _ = write!(line, "\\x{byte:02x}");
    }
    line.push_str("\"\n");
    line
}

/// The text of an input; what is not UTF-8 is no input of a parser of text.
pub fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The parts of an input, which 0xff separates: no text that is meant to be valid has that byte. Missing ones are empty.
pub fn parts<const COUNT: usize>(data: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = data.splitn(COUNT, |byte| *byte == 0xff);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
