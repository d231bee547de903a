//! The reader as serde sees it: what is made once for every type. What does not depend on the type is in the parent.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, Deserializer, Expected, Unexpected, Visitor};

use super::{Number, Place, Reader, Stopped, mismatch};

fn say<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Stopped> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

// What does not depend on the type, once: inlined into every reading of a value it would be 0.1 MB of the program.
impl<'de> Reader<'de> {
    #[inline(never)]
    fn enter(&mut self, bracket: u8, wanted: &dyn Expected) -> Result<(), Stopped> {
        if self.peek()? != bracket {
            return Err(self.unwanted(wanted));
        }
        self.open()
    }

    #[inline(never)]
    fn quoted(&mut self, wanted: &dyn Expected) -> Result<Cow<'de, str>, Stopped> {
        if self.peek()? != b'"' {
            return Err(self.unwanted(wanted));
        }
        self.string()
    }

    #[inline(never)]
    fn counted(&mut self, wanted: &dyn Expected) -> Result<Number, Stopped> {
        if !matches!(self.peek()?, b'-' | b'0'..=b'9') {
            return Err(self.unwanted(wanted));
        }
        self.number()
    }

    #[inline(never)]
    fn said(&mut self, wanted: &dyn Expected) -> Result<bool, Stopped> {
        match self.peek()? {
            b't' => self.literal("true").map(|()| true),
            b'f' => self.literal("false").map(|()| false),
            _ => Err(self.unwanted(wanted)),
        }
    }
}

impl<'de> Reader<'de> {
    fn map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Stopped> {
        self.enter(b'{', &visitor)?;
        let mut members = Members { first: true, close: b'}', reader: self };
        let value = visitor.visit_map(&mut members)?;
        members.rest()?;
        Ok(value)
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Stopped> {
        self.enter(b'[', &visitor)?;
        self.path.push(Place::Index(0));
        let mut members = Members { first: true, close: b']', reader: self };
        let value = visitor.visit_seq(&mut members)?;
        members.rest()?;
        self.path.pop();
        Ok(value)
    }

    fn text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Stopped> {
        say(self.quoted(&visitor)?, visitor)
    }

    fn count<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Stopped> {
        match self.counted(&visitor)? {
            Number::Whole(n) => visitor.visit_u64(n),
            Number::Negative(n) => visitor.visit_i64(n),
            Number::Real(n) => visitor.visit_f64(n),
        }
    }

    fn truth<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Stopped> {
        let truth = self.said(&visitor)?;
        visitor.visit_bool(truth)
    }
}

macro_rules! each {
    ($own:ident: $($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
            self.$own(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Stopped;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        match self.peek()? {
            b'{' => self.map(visitor),
            b'[' => self.list(visitor),
            b'"' => self.text(visitor),
            b't' | b'f' => self.truth(visitor),
            b'n' => {
                self.literal("null")?;
                visitor.visit_unit()
            }
            b'-' | b'0'..=b'9' => self.count(visitor),
            _ => Err(self.wrong("expected value")),
        }
    }

    each!(text: deserialize_str deserialize_string deserialize_char deserialize_identifier deserialize_bytes
        deserialize_byte_buf);
    each!(count: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16
        deserialize_i32 deserialize_i64 deserialize_f32 deserialize_f64);
    each!(truth: deserialize_bool);
    each!(list: deserialize_seq);
    each!(map: deserialize_map);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        if self.null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        if self.null()? { visitor.visit_unit() } else { Err(self.unwanted(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        if name != RAW {
            return visitor.visit_newtype_struct(self);
        }
        self.peek()?;
        let from = self.at;
        self.skip()?;
        visitor.visit_map(Raw(Some(&self.text[from..self.at])))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stopped> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.list(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        match self.peek()? {
            b'"' => visitor.visit_enum(Variant { reader: self, alone: true }),
            b'{' => {
                self.open()?;
                let value = visitor.visit_enum(Variant { reader: self, alone: false })?;
                if self.peek()? != b'}' {
                    return Err(self.wrong("expected `}`"));
                }
                self.at += 1;
                self.depth -= 1;
                Ok(value)
            }
            _ => Err(self.unwanted(&"string or map")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        self.skip()?;
        visitor.visit_unit()
    }
}

/// The members of an open container.
struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
    /// The bracket that ends it; 0 once it has.
    close: u8,
}

impl Members<'_, '_> {
    #[inline(never)]
    fn another(&mut self) -> Result<bool, Stopped> {
        if self.close == 0 {
            return Ok(false);
        }
        let another = self.reader.another(self.close, &mut self.first)?;
        if !another {
            self.close = 0;
        }
        Ok(another)
    }

    /// Whoever asked for members has asked for all of them.
    #[inline(never)]
    fn rest(&mut self) -> Result<(), Stopped> {
        match self.another()? {
            true => Err(Stopped("too many elements".to_owned())),
            false => Ok(()),
        }
    }
}

impl<'de> de::MapAccess<'de> for Members<'_, 'de> {
    type Error = Stopped;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stopped> {
        if !self.another()? {
            return Ok(None);
        }
        self.reader.peek()?;
        let from = self.reader.at;
        let key = self.reader.key()?;
        let to = self.reader.at;
        let key = seed.deserialize(Key(key))?;
        self.reader.colon()?;
        self.reader.path.push(Place::Key(from, to));
        Ok(Some(key))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Stopped> {
        let value = seed.deserialize(&mut *self.reader)?;
        self.reader.path.pop();
        Ok(value)
    }
}

impl<'de> de::SeqAccess<'de> for Members<'_, 'de> {
    type Error = Stopped;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stopped> {
        if !self.another()? {
            return Ok(None);
        }
        let value = seed.deserialize(&mut *self.reader)?;
        if let Some(Place::Index(index)) = self.reader.path.last_mut() {
            *index += 1;
        }
        Ok(Some(value))
    }
}

/// A key: a text, or a number or truth written as one, as maps with such keys have them.
struct Key<'de>(Cow<'de, str>);

macro_rules! written {
    ($($method:ident $visit:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(mismatch("type", Unexpected::Str(&self.0), &visitor)),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Stopped;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        say(self.0, visitor)
    }

    written!(deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
        deserialize_i32 visit_i32 deserialize_i64 visit_i64 deserialize_bool visit_bool);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        visitor.visit_enum(de::value::CowStrDeserializer::new(self.0))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// An enum: its name alone, or the name and what it holds.
struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    alone: bool,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Stopped;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stopped> {
        let name = self.reader.key()?;
        let name = seed.deserialize(Key(name))?;
        if !self.alone {
            self.reader.colon()?;
        }
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Stopped;

    fn unit_variant(self) -> Result<(), Stopped> {
        if self.alone { Ok(()) } else { de::Deserialize::deserialize(self.reader) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stopped> {
        if self.alone {
            return Err(mismatch("type", Unexpected::UnitVariant, &"newtype variant"));
        }
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stopped> {
        if self.alone {
            return Err(mismatch("type", Unexpected::UnitVariant, &"tuple variant"));
        }
        self.reader.list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Stopped> {
        if self.alone {
            return Err(mismatch("type", Unexpected::UnitVariant, &"struct variant"));
        }
        self.reader.map(visitor)
    }
}

/// What `serde_json::value::RawValue` asks for, and the way it wants it: a map of one, with the text.
const RAW: &str = "$serde_json::private::RawValue";

struct Raw<'de>(Option<&'de str>);

impl<'de> de::MapAccess<'de> for Raw<'de> {
    type Error = Stopped;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stopped> {
        match self.0 {
            Some(_) => seed.deserialize(Key(Cow::Borrowed(RAW))).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Stopped> {
        seed.deserialize(Key(Cow::Borrowed(self.0.take().unwrap_or_default())))
    }
}
