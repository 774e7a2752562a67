//! The table `[reconcile]`: how much of what is settled is checked at Alipay.

use crate::app::config::reader::Reader;

/// `[reconcile]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// How many settled jobs a minute Alipay is asked about, up to 600; 0 is none.
    pub rate_per_minute: u32,
}

impl ReconcileConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default().rate_per_minute;
        Self {
            rate_per_minute: reader.number("reconcile.rate_per_minute", default, 0..=600),
        }
    }
}
