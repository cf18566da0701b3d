//! Partition GUIDs (spec/config.md 5.5).

/// Whether the text is 8-4-4-4-12 hexadecimal digits, in either case.
pub fn is_guid(text: &str) -> bool {
    let mut groups = text.split('-');
    let lengths = [8, 4, 4, 4, 12];
    lengths.iter().all(|length| {
        groups
            .next()
            .is_some_and(|group| group.len() == *length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }) && groups.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (text, expected) in [
            ("01234567-89AB-CDEF-EDCB-A98765432101", true),
            ("01234567-89ab-cdef-edcb-a98765432101", true),
            ("", false),
            ("01234567-89AB-CDEF-EDCB-A9876543210", false),
            ("01234567-89AB-CDEF-EDCB-A987654321012", false),
            ("01234567-89AB-CDEF-EDCB-A98765432101-", false),
            ("01234567-89AB-CDEF-EDCB-A98765432101\n", false),
            ("0123456789AB-CDEF-EDCB-A98765432101", false),
            ("g1234567-89AB-CDEF-EDCB-A98765432101", false),
            ("{01234567-89AB-CDEF-EDCB-A98765432101}", false),
            ("é1234567-89AB-CDEF-EDCB-A98765432101", false),
        ] {
            assert_eq!(is_guid(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn accepts_what_is_written_as_one(text in "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}") {
            prop_assert!(is_guid(&text));
        }

        #[test]
        fn accepts_nothing_longer_than_one(text in ".*") {
            prop_assert!(!is_guid(&text) || text.len() == 36);
        }
    }
}
