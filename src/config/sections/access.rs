//! `[access]`: who may see content.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may see content: an officer. Everybody else is an operator, who sees counts, states, names of files and errors.
///
/// The command line asks the kernel who calls it. Whoever can read the staging database or the shares can go around it:
/// `docs/access.md` tells what else is to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// # Officers
    ///
    /// Who may see content: the numeric id of each user (`id -u NAME` shows it) and, for people, a name. Also root is no
    /// officer unless 0 is among them. Default: none; as long as neither key is set, every caller may see content, and each look is recorded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{ "1001": "Jane Doe" }]))]
    pub officers: BTreeMap<String, String>,

    /// # Groups of officers
    ///
    /// Groups whose members may see content: the numeric id of each (`getent group NAME` shows it) and a name. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{ "2001": "compliance" }]))]
    pub officer_groups: BTreeMap<String, String>,
}
