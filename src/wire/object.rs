//! Structs that are read from JSON objects, with the reading written once.
//!
//! serde's derive makes a reader of 3 KB for every struct. Here a struct has a list of names and a place for every member,
//! and one function fills them: what is made anew for each struct is the moving of the values. The members are read as
//! serde reads them, so that errors say the same.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Declares structs and makes them a `Deserialize` of their own.
///
/// Members are named in camel case, unless one says `as "another"`; in a `plain` struct they are named as they are here. A
/// member that nobody knows is an error; a `lenient` or `plain` struct passes it over. A member that is an `Option` may be
/// missing, and so may one marked `= default`. A `kept` struct is lenient, starts as its `Default` and keeps what is not
/// there; its members marked `= skip` are never read.
macro_rules! objects {
    ($mode:ident: $( $(#[$attr:meta])* $vis:vis struct $name:ident {
        $( $(#[$note:meta])* $seen:vis $field:ident: $type:ty $(as $wire:literal)? $(= $rule:ident)? ),* $(,)?
    } )*) => { $(
        $(#[$attr])*
        $vis struct $name {
            $( $(#[$note])* $seen $field: $type, )*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                const NAMES: &[&str] = &[ $( objects!(@name $mode $field $($wire)?) ),* ];
                const { assert!(NAMES.len() <= $crate::wire::object::MOST) };

                struct Read;

                impl<'de> serde::de::Visitor<'de> for Read {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("struct ", stringify!($name)))
                    }

                    #[allow(
                        unused_mut,
                        irrefutable_let_patterns,
                        reason = "a struct without members has nothing to fill"
                    )]
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        objects!(@read $mode map $name { $( $field: $type $(= $rule)? ),* })
                    }
                }

                from.deserialize_struct(stringify!($name), NAMES, Read)
            }
        }
    )* };
    (@name $mode:ident $field:ident $wire:literal) => { $wire };
    (@name plain $field:ident) => { stringify!($field) };
    (@name $mode:ident $field:ident) => { {
        use $crate::wire::object::{camel, camel_length, written};
        const NAME: &[u8] = &camel::<{ camel_length(stringify!($field)) }>(stringify!($field));
        written(NAME)
    } };
    (@read kept $map:ident $name:ident { $( $field:ident: $type:ty $(= $rule:ident)? ),* }) => { {
        let mut kept = $name::default();
        $crate::wire::object::fill(&mut $map, NAMES, false, &mut [ $( objects!(@place kept $field $($rule)?) ),* ])?;
        Ok(kept)
    } };
    (@read $mode:ident $map:ident $name:ident { $( $field:ident: $type:ty $(= $rule:ident)? ),* }) => { {
        $( let mut $field: objects!(@slot $type $(, $rule)?) = Default::default(); )*
        $crate::wire::object::fill(&mut $map, NAMES, objects!(@strict $mode), &mut [ $( &mut $field ),* ])?;
        let ($( Some($field), )*) = ($( $field.0, )*) else {
            return Err(serde::de::Error::custom("a member was lost"));
        };
        Ok($name { $( $field ),* })
    } };
    (@strict strict) => { true };
    (@strict $mode:ident) => { false };
    (@slot $type:ty) => { $crate::wire::object::Needed<$type> };
    (@slot $type:ty, default) => { $crate::wire::object::Defaulted<$type> };
    (@place $kept:ident $field:ident skip) => { &mut $crate::wire::object::Passed };
    (@place $kept:ident $field:ident $($rule:ident)?) => { &mut $crate::wire::object::Kept(&mut $kept.$field) };
}
pub(crate) use objects;

/// A place for a member.
pub trait Slot<'de, A: MapAccess<'de>> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error>;

    /// The object has no such member.
    fn missing(&mut self, name: &'static str) -> Result<(), A::Error>;
}

/// A member that is there, or an `Option`.
pub struct Needed<T>(pub Option<T>);

/// A member with a value of its own when it is not there.
pub struct Defaulted<T>(pub Option<T>);

/// A member of a struct that has a value already.
pub struct Kept<'k, T>(pub &'k mut T);

/// No member: what is there under its name is passed over.
pub struct Passed;

impl<T> Default for Needed<T> {
    fn default() -> Needed<T> {
        Needed(None)
    }
}

impl<T> Default for Defaulted<T> {
    fn default() -> Defaulted<T> {
        Defaulted(None)
    }
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> Slot<'de, A> for Needed<T> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = Some(map.next_value()?);
        Ok(())
    }

    fn missing(&mut self, name: &'static str) -> Result<(), A::Error> {
        self.0 = Some(T::deserialize(Missing(name, PhantomData))?);
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default> Slot<'de, A> for Defaulted<T> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = Some(map.next_value()?);
        Ok(())
    }

    fn missing(&mut self, _: &'static str) -> Result<(), A::Error> {
        self.0 = Some(T::default());
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> Slot<'de, A> for Kept<'_, T> {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        *self.0 = map.next_value()?;
        Ok(())
    }

    fn missing(&mut self, _: &'static str) -> Result<(), A::Error> {
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>> Slot<'de, A> for Passed {
    fn fill(&mut self, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(drop)
    }

    fn missing(&mut self, _: &'static str) -> Result<(), A::Error> {
        Ok(())
    }
}

/// Members of one struct.
pub const MOST: usize = u64::BITS as usize;

/// Fills the places of the members with these names, of which there are at most [`MOST`].
pub fn fill<'de, A: MapAccess<'de>>(
    map: &mut A,
    names: &'static [&'static str],
    strict: bool,
    slots: &mut [&mut dyn Slot<'de, A>],
) -> Result<(), A::Error> {
    let mut seen = 0u64;
    while let Some(found) = map.next_key_seed(Find { names, strict })? {
        match found {
            Some(at) if seen & (1 << at) != 0 => return Err(de::Error::duplicate_field(names[at])),
            Some(at) => {
                seen |= 1 << at;
                slots[at].fill(map)?;
            }
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    for (at, slot) in slots.iter_mut().enumerate() {
        if seen & (1 << at) == 0 {
            slot.missing(names[at])?;
        }
    }
    Ok(())
}

/// Which of the names a key is.
struct Find {
    names: &'static [&'static str],
    strict: bool,
}

impl<'de> DeserializeSeed<'de> for Find {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<usize>, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Find {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("field identifier")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Option<usize>, E> {
        match self.names.iter().position(|name| *name == key) {
            None if self.strict => Err(E::unknown_field(key, self.names)),
            found => Ok(found),
        }
    }
}

/// What a member is read from that is not there: an `Option` is none, all else an error.
struct Missing<E>(&'static str, PhantomData<E>);

impl<'de, E: de::Error> Deserializer<'de> for Missing<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, E> {
        Err(E::missing_field(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Bytes of a member's name in camel case.
pub const fn camel_length(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (mut at, mut length) = (first(bytes), 0);
    while at < bytes.len() {
        length += (bytes[at] != b'_') as usize;
        at += 1;
    }
    length
}

/// `session_key` -> `sessionKey`.
pub const fn camel<const N: usize>(name: &str) -> [u8; N] {
    let bytes = name.as_bytes();
    let (mut at, mut to, mut camel) = (first(bytes), 0, [0; N]);
    let mut upper = false;
    while at < bytes.len() {
        if bytes[at] == b'_' {
            upper = true;
        } else {
            camel[to] = if upper { bytes[at].to_ascii_uppercase() } else { bytes[at] };
            upper = false;
            to += 1;
        }
        at += 1;
    }
    camel
}

/// A keyword is written `r#type`.
const fn first(name: &[u8]) -> usize {
    if name.len() > 2 && name[0] == b'r' && name[1] == b'#' { 2 } else { 0 }
}

/// Text that [`camel`] made.
pub const fn written(name: &'static [u8]) -> &'static str {
    match std::str::from_utf8(name) {
        Ok(text) => text,
        Err(_) => panic!("names are ASCII"),
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::decode::Name;
    use crate::wire::misfit;

    objects! { strict:
        #[derive(Debug, PartialEq)]
        pub struct Strict {
            pub session_key: Name,
            pub r#type: Option<Name>,
            pub dry: bool = default,
        }
    }

    objects! { lenient:
        #[derive(Debug, PartialEq)]
        pub struct Lenient {
            pub a: Option<bool>,
        }
        #[derive(Debug, PartialEq)]
        pub struct Nothing {}
    }

    objects! { plain:
        #[derive(Debug, PartialEq)]
        struct Plain {
            finish_reason: Option<Name>,
            kind: Name as "type",
        }
    }

    objects! { kept:
        #[derive(Debug, PartialEq)]
        struct Kept {
            first_port: u16,
            on: bool,
            note: String = skip,
        }
    }

    impl Default for Kept {
        fn default() -> Kept {
            Kept { first_port: 7, on: true, note: "own".to_owned() }
        }
    }

    #[test]
    fn a_kept_one_changes_what_is_there() {
        let read = |text| misfit::read::<Kept>(text).expect("reads");
        assert_eq!(read("{}"), Kept::default());
        let changed = read(r#"{"firstPort":9,"note":{"not":"taken"},"more":1}"#);
        assert_eq!(changed, Kept { first_port: 9, ..Kept::default() });
        let error = refused::<Kept>(r#"{"on":null}"#);
        assert!(error.contains("boolean"), "{error}");
    }

    #[test]
    fn a_plain_one_is_named_as_it_is_written() {
        let read = misfit::read::<Plain>(r#"{"finish_reason":"stop","type":"x","finishReason":1}"#).expect("reads");
        assert_eq!((read.finish_reason.as_deref(), &*read.kind), (Some("stop"), "x"));
    }

    fn refused<T: for<'de> serde::Deserialize<'de>>(text: &str) -> String {
        match misfit::read::<T>(text) {
            Ok(_) => panic!("{text} was taken"),
            Err(misfit) => misfit.sentence(),
        }
    }

    #[test]
    fn members_are_found_by_their_names_in_camel_case() {
        let read = misfit::read::<Strict>(r#"{"type":"a","dry":true,"sessionKey":"k"}"#).expect("reads");
        let name = |text: &str| crate::wire::decode::Text(text.to_owned());
        assert_eq!(read, Strict { session_key: name("k"), r#type: Some(name("a")), dry: true });
        let read = misfit::read::<Strict>(r#"{"sessionKey":"k","type":null}"#).expect("reads");
        assert_eq!((read.r#type, read.dry), (None, false));
    }

    /// The same struct as the derive makes it says the same of the same mistakes.
    #[test]
    fn mistakes_are_told_as_serde_tells_them() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[allow(dead_code, reason = "only its errors are of interest")]
        struct Derived {
            session_key: Name,
            r#type: Option<Name>,
            #[serde(default)]
            dry: bool,
        }
        for text in [
            "{}",
            r#"{"sessionKey":""}"#,
            r#"{"sessionKey":null}"#,
            r#"{"session_key":"k"}"#,
            r#"{"sessionKey":"k","dry":1}"#,
            r#"{"sessionKey":"k","dry":null}"#,
            r#"{"sessionKey":"k","sessionKey":"l"}"#,
            r#"{"sessionKey":"k","other":{}}"#,
            r#"{"sessionKey":"k""#,
            "[]",
            "7",
            "",
        ] {
            let (own, derived) = (refused::<Strict>(text), refused::<Derived>(text));
            assert_eq!(own.replace("Strict", "Derived"), derived, "{text}");
        }
    }

    #[test]
    fn a_lenient_one_passes_over_what_it_does_not_know() {
        let read = misfit::read::<Lenient>(r#"{"b":[{}],"a":true,"c":null}"#).expect("reads");
        assert_eq!(read, Lenient { a: Some(true) });
        assert_eq!(misfit::read::<Nothing>(r#"{"b":1}"#).expect("reads"), Nothing {});
        assert!(!refused::<Lenient>("[]").is_empty());
    }
}
