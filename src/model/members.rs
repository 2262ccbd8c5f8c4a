//! JSON objects whose unknown members are noticed, not lost.
//!
//! serde's derive either refuses unknown members or drops them in silence. The record may do neither,
//! so [`members!`] writes a visitor that reads the known ones without copying, refuses a member that
//! stands twice, and raises a flag for each one it does not know.

use std::cell::Cell;

thread_local! {
    /// Raised while one event is read on this thread. serde offers no way to hand a flag to nested
    /// visitors that is as cheap; reading is synchronous, so the flag never crosses events.
    static UNKNOWN: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read` and tells whether it met a member that Chancery does not know.
pub(super) fn noticing_unknown<T>(read: impl FnOnce() -> T) -> (T, bool) {
    UNKNOWN.set(false);
    let value = read();
    (value, UNKNOWN.replace(false))
}

pub(super) fn notice_unknown() {
    UNKNOWN.set(true);
}

/// Declares a struct of optional members and its `Deserialize`.
macro_rules! members {
    ($(#[$outer:meta])* $vis:vis struct $name:ident<'a> { $($(#[$inner:meta])* $member:literal => $field:ident : $type:ty,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Default)]
        $vis struct $name<'a> {
            $($(#[$inner])* pub $field: Option<$type>,)*
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members<'a>(std::marker::PhantomData<&'a ()>);

                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Members<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a JSON object")
                    }

                    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                        use serde::de::Error as _;
                        let mut value = $name::default();
                        $(let mut $field = false;)*
                        while let Some(key) = map.next_key::<$crate::model::Text<'de>>()? {
                            match key.as_bytes() {
                                $(bytes if bytes == $member.as_bytes() => {
                                    if std::mem::replace(&mut $field, true) {
                                        return Err(M::Error::duplicate_field($member));
                                    }
                                    value.$field = map.next_value::<Option<$type>>()?;
                                })*
                                _ => {
                                    $crate::model::members::notice_unknown();
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(value)
                    }
                }

                deserializer.deserialize_map(Members(std::marker::PhantomData))
            }
        }
    };
}

pub(super) use members;
