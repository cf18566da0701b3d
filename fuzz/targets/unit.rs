//! Unit files, as far as validation reads them.
#![no_main]

use ignition_rs::config::grammar::unit;
use ignition_rs_fuzz::{plant, text};
use libfuzzer_sys::fuzz_target;

fn seeds() {
    let mut seeds: Vec<String> = [
        "[A]\n B = c \n[D]\nE=\n",
        "[Install]  \r\nA=b\n",
        "[A]\nB=c\\\n d\nE=f",
        "[A]\n#c\\ \nB=c\nD=e\n",
        "[Unit] x\n",
        "[A\nB]\nC=d",
    ]
    .map(str::to_owned)
    .to_vec();
    for length in [2040, 2045, 3000] {
        seeds.push(format!("[A]\nB={}\nC=d", "x".repeat(length)));
        seeds.push(format!("{}[A]\nB={}", "\n".repeat(2100), "x".repeat(length)));
    }
    plant(
        &seeds,
        &[
            "[Install]",
            "\\\n",
            "\r\n",
            "\u{a0}",
            "\u{85}",
            "=",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ],
    );
}

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some(text) = text(data) else { return };
    match unit::lex(text) {
        Ok(options) => {
            let _ = unit::has_install(&options);
            let held: usize = options.iter().map(|option| option.name.len() + option.value.reveal().len()).sum();
            assert!(held <= text.len() + options.len());
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
});
