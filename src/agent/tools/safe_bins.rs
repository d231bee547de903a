//! Programs that only filter what they are given: their use needs no rule and no approval.
//!
//! Each has a profile of the arguments with which it reads nothing but its standard input. Whatever is not in the
//! profile is no filter. Decided by the words alone; the file system is not asked.

/// One program as a filter.
struct Filter {
    name: &'static str,
    /// Letters of flags without a value.
    flags: &'static str,
    /// Letters of flags with a value.
    valued: &'static str,
    /// Words that are no flags.
    words: usize,
}

/// Programs taken when the configuration names none.
pub(crate) const USUAL: [&str; 6] = ["cut", "uniq", "head", "tail", "tr", "wc"];

const FILTERS: [Filter; 6] = [
    Filter { name: "cut", flags: "nsz", valued: "bcdf", words: 0 },
    Filter { name: "uniq", flags: "cdiuz", valued: "fsw", words: 0 },
    Filter { name: "head", flags: "qvz", valued: "nc", words: 0 },
    Filter { name: "tail", flags: "qvz", valued: "nc", words: 0 },
    Filter { name: "tr", flags: "cCdst", valued: "", words: 2 },
    Filter { name: "wc", flags: "clLmw", valued: "", words: 0 },
];

/// Where such programs may come from.
const TRUSTED: [&str; 2] = ["/bin/", "/usr/bin/"];

/// Whether this is one of the `named` programs used as a filter. `found` is where the shell would find it.
pub(crate) fn is_filter(named: &[String], argv: &[String], found: &str) -> bool {
    let name = argv[0].as_str();
    let wanted = match named {
        [] => USUAL.contains(&name),
        own => own.iter().any(|own| own == name),
    };
    let trusted = TRUSTED.iter().any(|dir| found.strip_prefix(dir).is_some_and(|rest| !rest.contains('/')));
    let Some(filter) = FILTERS.iter().find(|filter| filter.name == name).filter(|_| wanted && trusted) else {
        return false;
    };
    let (mut words, mut args) = (0, argv[1..].iter());
    while let Some(arg) = args.next() {
        let Some(letters) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            words += 1;
            continue;
        };
        let digits = letters.bytes().all(|byte| byte.is_ascii_digit()) && matches!(name, "head" | "tail");
        if letters.starts_with('-') {
            return false;
        }
        if digits {
            continue;
        }
        let Some(at) = letters.find(|c| !filter.flags.contains(c)) else { continue };
        let valued = letters[at..].chars().next().is_some_and(|c| filter.valued.contains(c));
        let attached = letters.len() > at + 1;
        if !valued || !attached && args.next().is_none() {
            return false;
        }
    }
    words <= filter.words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(command: &str) -> bool {
        let argv: Vec<String> = command.split(' ').map(str::to_string).collect();
        is_filter(&[], &argv, &format!("/usr/bin/{}", argv[0]))
    }

    #[test]
    fn filters_read_their_input_and_nothing_else() {
        for good in ["wc -l", "head -n 5", "head -5", "tail -n5", "cut -d , -f 1", "tr -d x", "tr a b", "uniq -c"] {
            assert!(filter(good), "{good}");
        }
        for bad in
            ["wc /etc/passwd", "head -n 5 f", "tail -f", "wc --files0-from=x", "tr a b c", "cut -f", "sort", "sh -c x"]
        {
            assert!(!filter(bad), "{bad}");
        }
    }

    #[test]
    fn only_the_system_s_own_programs_count() {
        let argv = ["wc".to_string()];
        assert!(is_filter(&[], &argv, "/bin/wc"));
        assert!(!is_filter(&[], &argv, "/home/me/bin/wc") && !is_filter(&[], &argv, "/usr/bin/x/wc"));
        assert!(!is_filter(&["cut".into()], &argv, "/bin/wc"), "the configuration names others");
    }
}
