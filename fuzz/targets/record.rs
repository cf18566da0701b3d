//! The progress record on ROOT: any bytes are one, and a torn last line counts for nothing.
#![no_main]

use ignition_rs::exec::progress::parse;
use ignition_rs::view::Digest;
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

fn seeds() {
    let config = Digest::of(b"config");
    let seeds = [
        format!(
            "ignition-rs progress 1 {config}\nfile /a%20b\ndirectory /d/e\nuser x\nuser y\nmade-user x\ngroup g\nmade-group g\nplacing /c {config}\nplacing /a%20b {config}\n"
        ),
        "ignition-rs progress 2 x\nfile /a\n".to_owned(),
        "ignition-rs progress 1 zz\nfile /a\n".to_owned(),
    ];
    let words = [
        "ignition-rs progress 1 ",
        "\nfile ",
        "\ndirectory ",
        "\nplacing ",
        "\nappending ",
        "\nnew-file ",
        "\nnew-directory ",
        "\nmount-directory ",
        "\nuser ",
        "\nmade-user ",
        "\ngroup ",
        "%2f",
        "/../",
    ];
    plant(&seeds, &words);
}

fuzz_target!(init: seeds(), |data: &[u8]| {
    let progress = parse(data);
    let whole = data.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    assert_eq!(parse(&data[..whole]), progress);
    if progress.config.is_some() {
        let more = [&data[..whole], b"file /last%20one\nuser last\n"].concat();
        let more = parse(&more);
        assert!(more.intends(&"/last one".into()) && more.begun_user("last"));
    }
    for place in progress.places() {
        assert!(place.as_os_str().as_encoded_bytes().starts_with(b"/"));
    }
});
