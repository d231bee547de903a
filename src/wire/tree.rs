//! JSON values, written in the code as JSON.
//!
//! `serde_json::json!` makes a serialiser's turn of every value in it, with an error that cannot happen, and an insertion of
//! every key, wherever it stands. Here both are functions that are called: a third of the code for the same value.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

/// Makes a [`Value`]: `json!({"a": 1, "b": [x, null], NAME: {"c": text}})`. What stands for a value may be anything that
/// serde can write as JSON; it is only looked at.
macro_rules! json {
    (@map $map:ident) => {};
    (@map $map:ident $key:tt : null $(, $($rest:tt)*)?) => {
        $crate::wire::tree::put(&mut $map, json!(@key $key), serde_json::Value::Null);
        json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::wire::tree::put(&mut $map, json!(@key $key), json!([ $($inner)* ]));
        json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::wire::tree::put(&mut $map, json!(@key $key), json!({ $($inner)* }));
        json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:tt : $value:expr $(, $($rest:tt)*)?) => {
        $crate::wire::tree::put(&mut $map, json!(@key $key), json!(@one $value));
        json!(@map $map $($($rest)*)?);
    };
    (@list $list:ident) => {};
    (@list $list:ident null $(, $($rest:tt)*)?) => {
        $list.push(serde_json::Value::Null);
        json!(@list $list $($($rest)*)?);
    };
    (@list $list:ident [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $list.push(json!([ $($inner)* ]));
        json!(@list $list $($($rest)*)?);
    };
    (@list $list:ident { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $list.push(json!({ $($inner)* }));
        json!(@list $list $($($rest)*)?);
    };
    (@list $list:ident $value:expr $(, $($rest:tt)*)?) => {
        $list.push(json!(@one $value));
        json!(@list $list $($($rest)*)?);
    };
    (@key $key:literal) => { $key };
    (@key ($key:expr)) => { &$key };
    (@key $key:ident) => { &$key };
    (@one $value:expr) => {{
        #[allow(unused_imports, reason = "which one is taken depends on the value's type")]
        use $crate::wire::tree::{Plain as _, Written as _};
        (&$crate::wire::tree::Of(&$value)).value()
    }};
    (null) => { serde_json::Value::Null };
    ([]) => { serde_json::Value::Array(Vec::new()) };
    ([ $($body:tt)+ ]) => {{
        let mut list = Vec::new();
        json!(@list list $($body)+);
        serde_json::Value::Array(list)
    }};
    ({}) => { serde_json::Value::Object(serde_json::Map::new()) };
    ({ $($body:tt)+ }) => {{
        let mut map = serde_json::Map::new();
        json!(@map map $($body)+);
        serde_json::Value::Object(map)
    }};
    ($value:expr) => { json!(@one $value) };
}

pub(crate) use json;

/// A value on its way into a tree.
pub struct Of<'a, T: ?Sized>(pub &'a T);

/// The types that are there most often, each with one function.
pub trait Plain {
    fn value(&self) -> Value;
}

/// Everything else that serde can write.
pub trait Written {
    fn value(&self) -> Value;
}

impl<T: Serialize + ?Sized> Written for &Of<'_, T> {
    #[inline(never)]
    fn value(&self) -> Value {
        serde_json::to_value(self.0).expect("what we write has texts for keys, and its parts can be written")
    }
}

macro_rules! plain {
    ($($kind:ty: $of:ident => $made:expr;)*) => { $(
        impl Plain for Of<'_, $kind> {
            #[inline]
            fn value(&self) -> Value {
                let $of = self.0;
                $made
            }
        }
    )* };
}

plain! {
    str: of => text(of);
    &str: of => text(of);
    &&str: of => text(of);
    String: of => text(of);
    &String: of => text(of);
    Cow<'_, str>: of => text(of);
    Arc<str>: of => text(of);
    &Arc<str>: of => text(of);
    bool: of => Value::Bool(*of);
    u16: of => Value::from(*of);
    u32: of => Value::from(*of);
    u64: of => Value::from(*of);
    usize: of => Value::from(*of);
    i32: of => Value::from(*of);
    i64: of => Value::from(*of);
    Value: of => copy(of);
    &Value: of => copy(of);
    Option<&str>: of => of.map_or(Value::Null, text);
    Option<String>: of => of.as_deref().map_or(Value::Null, text);
    &Option<String>: of => of.as_deref().map_or(Value::Null, text);
    Option<u64>: of => of.map_or(Value::Null, Value::from);
}

#[inline(never)]
fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[inline(never)]
fn copy(value: &Value) -> Value {
    value.clone()
}

/// A member more.
#[inline(never)]
pub fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    map.insert(key.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_what_serde_s_own_macro_makes() {
        const NAME: &str = "named";
        let (text, some, none, list) = ("t".to_owned(), Some("s"), None::<String>, vec![1, 2]);
        let made = json!({
            "a": null, "b": [1, null, [], {}, {"c": text}], "d": {"e": true, NAME: &text, (text.clone()): -1},
            "f": some, "g": none, "h": list, "i": if list.is_empty() { 1.5 } else { 2.5 }, "j": text.len() as u64,
            "k": json!("x"),
        });
        let theirs = serde_json::json!({
            "a": null, "b": [1, null, [], {}, {"c": text}], "d": {"e": true, NAME: &text, (text.clone()): -1},
            "f": some, "g": none, "h": list, "i": if list.is_empty() { 1.5 } else { 2.5 }, "j": text.len() as u64,
            "k": serde_json::json!("x"),
        });
        assert_eq!(made.to_string(), theirs.to_string());
        assert_eq!(
            (json!([]), json!({}), json!(null)),
            (Value::Array(Vec::new()), Value::Object(Map::new()), Value::Null)
        );
    }
}
