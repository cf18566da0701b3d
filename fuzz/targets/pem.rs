//! Bundles of certificate authorities.
#![no_main]

use ignition_rs::fetch::pem::certificates;
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

const SEEDS: &[&str] = &[
    "text\n-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
    "-----BEGIN X-----\nProc-Type: 4\n\nYQ==\n-----END Y-----\n-----BEGIN Y-----\n\n-----END Y-----\n",
    "-----BEGIN CERTIFICATE-----\r\nMAMCAQE=\r\n-----END CERTIFICATE-----",
];

fuzz_target!(init: plant(SEEDS, &["-----BEGIN ", "-----END ", "-----\n", "CERTIFICATE", "MA", "\r\n", "a: b\n"]), |data: &[u8]| {
    if let Err(error) = certificates(data) {
        let _ = error.to_string();
    }
});
