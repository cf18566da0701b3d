//! The kernel command line (spec/fetch.md 4; the further names are Flatcar's patch 0006).

/// Parameters that name the config's URL.
pub const URL_KEYS: [&str; 3] = ["ignition.config.url", "flatcar.config.url", "coreos.config.url"];

/// The URL that a kernel command line names: of all three parameters the last that stands there with a `=` counts; an
/// empty value is none. Words are separated by spaces; there is no quoting.
pub fn config_url(cmdline: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(cmdline);
    text.split(' ')
        .filter_map(|word| word.trim().split_once('='))
        .rfind(|(key, _)| URL_KEYS.contains(key))
        .map(|(_, url)| url.to_owned())
        .filter(|url| !url.is_empty())
}

/// The value of the last `key=value`, if there is one.
pub fn value(cmdline: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(cmdline);
    text.split(' ')
        .filter_map(|word| word.trim().split_once('='))
        .rfind(|(found, _)| *found == key)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::config_url;

    #[test]
    fn the_last_of_three_names_counts() {
        let table: [(&[u8], Option<&str>); 12] = [
            (b"", None),
            (b"root=x quiet\n", None),
            (b"ignition.config.url=http://a/b?c=d\n", Some("http://a/b?c=d")),
            (b"ignition.config.url=one flatcar.config.url=two", Some("two")),
            (b"coreos.config.url=one ignition.config.url=two ", Some("two")),
            (b"flatcar.config.url=one\tx coreos.config.url=two", Some("two")),
            (b"ignition.config.url=one ignition.config.url", Some("one")),
            (b"ignition.config.url=one ignition.config.url=", None),
            (b"ignition.config.url", None),
            (b"xignition.config.url=one", None),
            (b"ignition.config.url=\"a b\"", Some("\"a")),
            (b"\xff\xfe ignition.config.url=data:,x", Some("data:,x")),
        ];
        for (cmdline, want) in table {
            assert_eq!(config_url(cmdline).as_deref(), want, "{}", cmdline.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_command_line(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let line = [bytes.as_slice(), b" flatcar.config.url=http://last"].concat();
            proptest::prop_assert_eq!(config_url(&line), Some("http://last".to_owned()));
        }
    }
}
