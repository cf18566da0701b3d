//! Mistyped words: which known one was meant.

/// The known word that is nearest to a mistyped one, if at most a third of the letters differ. Case, underscores and
/// dashes are free: whoever writes `ssh_authorized_keys` means `sshAuthorizedKeys`.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Nobody means a known word by something this long, and distance costs the product of both.
    if word.len() > 40 {
        return None;
    }
    let letters = letters_of(word);
    known
        .into_iter()
        .map(|candidate| (distance(&letters, &letters_of(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn letters_of(word: &str) -> Vec<char> {
    word.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// How many letters to insert, delete, replace or swap with their neighbour to get from one word to another.
fn distance(left: &[char], right: &[char]) -> usize {
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or_default();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.iter().enumerate() {
        let mut row = vec![line + 1];
        for (column, to) in right.iter().enumerate() {
            let mut best = (at(&last, column) + usize::from(from != to))
                .min(at(&last, column + 1) + 1)
                .min(at(&row, column) + 1);
            if line > 0 && column > 0 && left.get(line - 1) == Some(to) && right.get(column - 1) == Some(from)
            {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn between(left: &str, right: &str) -> usize {
        distance(&letters_of(left), &letters_of(right))
    }

    #[test]
    fn what_was_meant() {
        let known = [
            "path",
            "mode",
            "sshAuthorizedKeys",
            "passwordHash",
            "contents",
            "httpHeaders",
            "user",
        ];
        for (word, expected) in [
            ("moode", Some("mode")),
            ("mdoe", Some("mode")),
            ("Mode", Some("mode")),
            ("usr", Some("user")),
            ("ssh_authorized_keys", Some("sshAuthorizedKeys")),
            ("password_hash", Some("passwordHash")),
            ("content", Some("contents")),
            ("httpHeader", Some("httpHeaders")),
            ("inline", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word:?}");
        }
        assert_eq!(nearest(&"mode".repeat(11), ["mode".repeat(11).as_str()]), None);
    }

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("aB", "Ab", 0),
            ("ab", "ba", 1),
            ("abcd", "badc", 2),
        ] {
            assert_eq!(between(left, right), expected, "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_bounded(left in ".{0,12}", right in ".{0,12}") {
            prop_assert_eq!(between(&left, &right), between(&right, &left));
            prop_assert_eq!(between(&left, &left), 0);
            prop_assert!(between(&left, &right) <= left.chars().count().max(right.chars().count()));
        }
    }
}
