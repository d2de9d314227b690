//! `[gateway.notices]`: warnings that visitors see.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Warnings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// The rules that make a tier; our own when absent.
    pub tier_rules: Option<PathBuf>,
    /// Templates and wording that replace ours, file by file.
    pub dir: Option<PathBuf>,
    /// Where a decision can be appealed; empty for nowhere.
    pub appeal_url: String,
    /// Who checks a visitor's identity before a block with form `step_up` opens; empty for nobody.
    pub step_up_url: String,
    /// Whom a visitor may talk to instead; empty for nobody.
    pub contact: String,
    /// How long a shown page can be answered, in seconds. Below an hour: a trace takes the records of
    /// one flow to lie no farther apart.
    pub valid_s: u64,
    /// Where to get help: whom to call, in English what it is, and in Chinese.
    pub help: Vec<[String; 3]>,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[limits("gateway.notices.valid_s", 60, 3_500)];

impl Default for Notices {
    fn default() -> Self {
        let help = [
            [
                "96110",
                "National anti-fraud hotline: advice and early warning",
                "全国反诈预警劝阻咨询专线",
            ],
            [
                "12321",
                "Reporting centre for harmful and spam information",
                "网络不良与垃圾信息举报受理中心",
            ],
            [
                "110",
                "Police, when you have lost money or are in danger",
                "公安报警电话，已被骗或遇险时拨打",
            ],
        ];
        Self {
            tier_rules: None,
            dir: None,
            appeal_url: String::new(),
            step_up_url: String::new(),
            contact: String::new(),
            valid_s: 900,
            help: help.map(|h| h.map(str::to_owned)).into(),
        }
    }
}
