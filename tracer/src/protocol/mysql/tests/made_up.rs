//! Conversations that no server at hand speaks.

use super::*;
