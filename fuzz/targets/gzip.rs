//! gzip: foreign data, data that was packed here, and packed data that was damaged.
#![no_main]

use std::io::{Read, Write as _};

use ignition_rs::config;
use ignition_rs::fetch::gunzip::Gunzip;
use ignition_rs::fetch::hash::{Function, Hash};
use ignition_rs::fetch::limit::Limited;
use ignition_rs::fetch::verified::{Compression, verified};
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

/// The most that is taken from one input.
const LIMIT: u64 = 1 << 20;

/// The first byte of an input says what is done with the rest.
fn seeds() {
    let seeds = [
        [b"\x00".as_slice(), &gzip(b"a")].concat(),
        [
            b"\x00".as_slice(),
            &gzip(b"some text, some text, some text"),
            &gzip(b""),
        ]
        .concat(),
        b"\x00\x1f\x8b\x08\x1e\x00\x00\x00\x00\x00\x03\x01\x00xname\x00comment\x00\x00\x00".to_vec(),
        [b"\x01", gzip(b"some text, some text, some text").split_at(10).1].concat(),
        b"\x02some text that is packed, and packed again".to_vec(),
        b"\x03\x05\xffsome text that is packed and then damaged".to_vec(),
    ];
    plant(&seeds, &[b"\x1f\x8b\x08\x00"]);
}

fn gunzip(data: &[u8], at_once: usize) -> std::io::Result<Vec<u8>> {
    let mut reader = Limited::new(Gunzip::new(data), LIMIT);
    let (mut out, mut buffer) = (Vec::new(), vec![0; at_once]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(out),
            count => out.extend_from_slice(&buffer[..count]),
        }
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    match mode & 3 {
        0 => {
            let whole = gunzip(data, 8192);
            let bitwise = gunzip(data, 7);
            assert_eq!(whole.as_ref().ok(), bitwise.as_ref().ok());
            let _ = whole.map_err(|error| error.to_string());
        }
        1 => {
            // A foreign deflate stream behind a good header; without a trailer it is never whole.
            let member = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", data].concat();
            let _ = gunzip(&member, 8192);
            let _ = config::parse(&member);
        }
        2 => {
            let (first, second) = data.split_at(data.len() / 2);
            let packed = [gzip(first), gzip(second)].concat();
            assert_eq!(gunzip(&packed, 100).expect("it is whole"), data);
            let hash = Hash::of(Function::Sha256, data);
            let mut got = Vec::new();
            verified(packed.as_slice(), Compression::Gzip, Some(hash)).read_to_end(&mut got).expect("the hash fits");
            assert_eq!(got, data);
            assert!(gunzip(&packed[..packed.len() - 1], 100).is_err());
            let _ = config::parse(&packed);
        }
        _ => {
            let [place, change, data @ ..] = data else { return };
            let mut packed = gzip(data);
            let place = usize::from(*place) % packed.len();
            packed[place] ^= change;
            // Bits that pad the last block, or time and system in the header, change nothing; all else is noticed.
            if let Ok(got) = gunzip(&packed, 8192) {
                assert_eq!(got, data);
            }
        }
    }
});
