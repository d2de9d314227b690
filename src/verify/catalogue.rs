//! Every check by its id: what it is about, in both languages, which cell of the grid it counts in,
//! and what others call it. Ids are for ever: a check that changes its meaning gets another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::words;

words! {
    /// What is verified: the law's three objects.
    Area {
        /// 域名注册信息
        Registration = "registration",
        /// 解析信息
        Resolution = "resolution",
        /// 互联网协议地址
        Address = "address",
    }
}

words! {
    /// In what respect: the law's two adjectives.
    Aspect {
        /// 真实: it is what the authoritative source says.
        Authentic = "authentic",
        /// 准确: sources agree, and what was declared is so.
        Accurate = "accurate",
    }
}

words! {
    /// Whose id it is that others call a finding by.
    Scheme {
        /// A test case of Zonemaster.
        Zonemaster = "zonemaster",
        /// An error code of DNSViz.
        Dnsviz = "dnsviz",
        /// An RFC.
        Rfc = "rfc",
        /// A report of the Unicode Consortium.
        Unicode = "unicode",
    }
}

/// What others call what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Standard {
    /// Whose id it is.
    pub scheme: Scheme,
    /// The id.
    pub id: &'static str,
}

/// What the catalogue says of a check.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The id, `RES-04`.
    pub id: &'static str,
    /// The cell of the grid.
    pub cell: (Area, Aspect),
    /// Whether the cell stays open where this check found nothing.
    pub needed: bool,
    /// Whether it holds two sources against each other, so that `"false"` at grade A means that
    /// two facts contradict.
    pub compares: bool,
    /// What is so where the check finds `"true"`.
    pub title: &'static str,
    /// The same in Chinese.
    pub title_zh: &'static str,
    /// What others call it.
    pub standards: &'static [Standard],
}

macro_rules! catalogue {
    ($($variant:ident $id:literal $area:ident $aspect:ident [$($flag:ident)*]
        $title:literal $title_zh:literal { $($scheme:ident $name:literal)* })+) => {
        /// A check.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Check {
            $(#[doc = $title] #[serde(rename = $id)] $variant,)+
        }

        impl Check {
            /// Every check.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// What the catalogue says of it.
            pub const fn entry(self) -> Entry {
                match self {
                    $(Self::$variant => {
                        let flags: &[&str] = &[$(stringify!($flag)),*];
                        Entry {
                            id: $id,
                            cell: (Area::$area, Aspect::$aspect),
                            needed: has(flags, "needed"),
                            compares: has(flags, "compares"),
                            title: $title,
                            title_zh: $title_zh,
                            standards: &[$(Standard { scheme: Scheme::$scheme, id: $name }),*],
                        }
                    })+
                }
            }
        }
    };
}

const fn has(flags: &[&str], flag: &str) -> bool {
    let mut i = 0;
    while i < flags.len() {
        // The words differ in their first letter; comparing strings is not const.
        if flags[i].as_bytes()[0] == flag.as_bytes()[0] {
            return true;
        }
        i += 1;
    }
    false
}

catalogue! {
    Reg01 "REG-01" Registration Authentic [needed]
        "its registry has the domain"
        "注册局中有该域名的注册记录"
        { Rfc "RFC 9083" }
    Reg02 "REG-02" Registration Authentic []
        "its registration has not ended"
        "注册尚未到期"
        { Rfc "RFC 9083" }
    Reg03 "REG-03" Registration Authentic []
        "nobody holds it out of the DNS"
        "未被注册商或注册局暂停解析"
        { Rfc "RFC 5731" }
    Reg04 "REG-04" Registration Authentic []
        "it is not about to be deleted"
        "未进入赎回期或待删除期"
        { Rfc "RFC 3915" }
    Reg05 "REG-05" Registration Authentic []
        "its holder has had it for a while"
        "现持有人持有已有一段时间"
        { Rfc "RFC 9083" }
    Reg06 "REG-06" Registration Accurate [needed compares]
        "its registry and the zone above name the same servers"
        "注册局登记的名称服务器与上级区一致"
        { Zonemaster "DELEGATION07" Rfc "RFC 9083" }
    Reg07 "REG-07" Registration Accurate [compares]
        "its registry and the zone above have the same DS records"
        "注册局登记的 DS 记录与上级区一致"
        { Zonemaster "DNSSEC02" Rfc "RFC 9083" }
    Reg08 "REG-08" Registration Accurate [compares]
        "what has no name servers leads nowhere"
        "未登记名称服务器的域名不应解析"
        { Rfc "RFC 5731" }
    Reg09 "REG-09" Registration Authentic []
        "its holder is named"
        "公开数据中有持有人信息"
        { Rfc "RFC 9537" }
    Reg10 "REG-10" Registration Accurate [compares]
        "its registry has what its owner declared"
        "注册信息与申报一致"
        { Rfc "RFC 9083" }
    Reg11 "REG-11" Registration Authentic []
        "its registrar is named"
        "公开数据中有注册商信息"
        { Rfc "RFC 9083" }
    Reg12 "REG-12" Registration Accurate [compares]
        "it is on file (ICP)"
        "已完成备案,且与申报一致"
        { Rfc "RFC 9083" }
    Reg13 "REG-13" Registration Authentic []
        "what its registry says is in the form of the standard"
        "注册数据格式符合标准"
        { Rfc "RFC 9083" }
    Reg14 "REG-14" Registration Authentic []
        "what its registry says is fresh"
        "注册数据足够新"
        { Rfc "RFC 9083" }
    Reg15 "REG-15" Registration Authentic []
        "it is locked against being taken away"
        "已启用转移、更新或删除锁定"
        { Rfc "RFC 5731" }
    Res01 "RES-01" Resolution Authentic [needed]
        "the zone exists, and the zone above delegates it"
        "区存在,且由上级区授权"
        { Zonemaster "BASIC01" Dnsviz "NO_NS_IN_PARENT" }
    Res02 "RES-02" Resolution Authentic [needed]
        "at least one of its servers works"
        "至少有一台名称服务器正常工作"
        { Zonemaster "BASIC02" Dnsviz "SERVER_UNRESPONSIVE_UDP" }
    Res03 "RES-03" Resolution Authentic []
        "every server it is delegated to answers with authority"
        "授权的每台名称服务器都给出权威应答"
        { Zonemaster "DELEGATION04" Dnsviz "SERVER_NOT_AUTHORITATIVE" }
    Res04 "RES-04" Resolution Accurate [needed compares]
        "the zone above and the zone itself name the same servers"
        "上级区与本区列出相同的名称服务器"
        { Zonemaster "DELEGATION07" Zonemaster "CONSISTENCY04" Dnsviz "NS_NAME_NOT_IN_CHILD" Dnsviz "NS_NAME_NOT_IN_PARENT" }
    Res05 "RES-05" Resolution Accurate [compares]
        "glue is what the zone itself says of its servers' addresses"
        "胶水记录与本区的服务器地址一致"
        { Zonemaster "CONSISTENCY05" Dnsviz "GLUE_MISMATCH" }
    Res06 "RES-06" Resolution Accurate []
        "every server has the zone in the same version"
        "各名称服务器上的区版本一致"
        { Zonemaster "CONSISTENCY01" Zonemaster "CONSISTENCY06" }
    Res07 "RES-07" Resolution Authentic [needed]
        "signatures lead from the anchor to the zone"
        "签名链从信任锚通到本区"
        { Zonemaster "DNSSEC02" Zonemaster "DNSSEC07" Zonemaster "DNSSEC08" Zonemaster "DNSSEC09" Dnsviz "NO_SEP" }
    Res08 "RES-08" Resolution Authentic []
        "signatures last a while yet"
        "签名的剩余有效期充足"
        { Zonemaster "DNSSEC04" Dnsviz "EXPIRATION_WITHIN_CLOCK_SKEW" }
    Res09 "RES-09" Resolution Accurate [needed]
        "every server gives the same answer"
        "各名称服务器给出相同的应答"
        { Dnsviz "INCONSISTENT_NXDOMAIN" }
    Res10 "RES-10" Resolution Accurate []
        "other places see the same"
        "多个观测点看到的结果一致"
        { Rfc "CA/B BR 3.2.2.9" }
    Res11 "RES-11" Resolution Accurate [compares]
        "it is delegated to the servers that its owner declared"
        "名称服务器与申报一致"
        { Rfc "RFC 1034" }
    Res12 "RES-12" Resolution Accurate []
        "nothing points to a name that is not there"
        "没有指向不存在名称的记录"
        { Dnsviz "ERROR_RESOLVING_NS_NAME" Zonemaster "NAMESERVER06" }
    Res13 "RES-13" Resolution Authentic []
        "nothing that rules are about hides behind its aliases"
        "别名之后未隐藏被列名的域名"
        { Rfc "RFC 1034" }
    Res14 "RES-14" Resolution Authentic []
        "its servers are where the public can ask them"
        "名称服务器位于公众可以访问的地址"
        { Zonemaster "ADDRESS01" Dnsviz "NS_NAME_PRIVATE_IP" Dnsviz "GLUE_PRIVATE_IP" }
    Res15 "RES-15" Resolution Authentic []
        "its addresses do not change all the time"
        "地址未频繁变动(快速变换)"
        { Rfc "RFC 7970" }
    Res16 "RES-16" Resolution Accurate []
        "times to live are neither very short nor beyond what was signed"
        "TTL 既不过短,也不超过签名时的值"
        { Zonemaster "ZONE06" Dnsviz "ORIGINAL_TTL_EXCEEDED" }
    Res17 "RES-17" Resolution Accurate []
        "it has several servers, at different addresses and in different networks"
        "有多台位于不同地址和网络的名称服务器"
        { Zonemaster "DELEGATION01" Zonemaster "DELEGATION02" Zonemaster "CONNECTIVITY04" }
    Res18 "RES-18" Resolution Authentic []
        "names that nobody made do not exist"
        "未登记的名称不存在"
        { Rfc "RFC 4592" }
    Res19 "RES-19" Resolution Authentic []
        "its names are host names"
        "各名称符合主机名规则"
        { Zonemaster "SYNTAX01" Zonemaster "SYNTAX02" Zonemaster "SYNTAX03" Zonemaster "SYNTAX04" Rfc "RFC 1123" }
    Res20 "RES-20" Resolution Accurate []
        "clients are told what is seen"
        "向用户给出的应答与所见一致"
        { Rfc "RFC 8914" }
    Red09 "RED-09" Resolution Accurate [compares]
        "its redirects lead where its owner declared"
        "跳转目标与申报一致"
        { Rfc "RFC 9110" }
    Idn01 "IDN-01" Registration Authentic []
        "its labels are what they read as"
        "各标签的编码与显示形式可互相转换"
        { Rfc "RFC 5891" Unicode "UTS #46" }
    Idn02 "IDN-02" Registration Authentic []
        "no label mixes scripts beyond what writing systems do"
        "标签未混用文字"
        { Unicode "UTS #39" }
    Idn03 "IDN-03" Registration Authentic []
        "no label of another script looks like ASCII"
        "非拉丁标签不与 ASCII 形近"
        { Unicode "UTS #39" }
    Idn04 "IDN-04" Registration Authentic []
        "it reads like no protected name"
        "不与受保护名称形近"
        { Unicode "UTS #39" }
    Ip01 "IP-01" Address Authentic [needed]
        "the address can be reached from everywhere"
        "地址可在公共互联网上到达"
        { Zonemaster "ADDRESS01" Dnsviz "NS_NAME_PRIVATE_IP" Rfc "RFC 6890" }
    Ip02 "IP-02" Address Authentic []
        "an IPv4 address inside it can be, too"
        "内嵌的 IPv4 地址同样可到达"
        { Rfc "RFC 6052" Rfc "RFC 3056" Rfc "RFC 4380" }
    Ip03 "IP-03" Address Authentic []
        "the address is one host's"
        "地址属于单台主机,不是组播、广播或未指定地址"
        { Rfc "RFC 5771" Rfc "RFC 4291" }
    Ip04 "IP-04" Address Authentic []
        "a registry gave the address to somebody"
        "地址已由地址注册机构分配"
        { Rfc "RFC 7020" }
    Ip05 "IP-05" Address Accurate []
        "somebody announces the address"
        "地址在全球路由中被宣告"
        { Rfc "RFC 4271" }
    Ip06 "IP-06" Address Authentic []
        "whoever announces the address may"
        "宣告者有权宣告该地址(RPKI)"
        { Rfc "RFC 6811" }
    Ip07 "IP-07" Address Authentic []
        "its network is registered to somebody"
        "地址所在网络有登记的持有者"
        { Rfc "RFC 9083" }
    Ip08 "IP-08" Address Accurate []
        "the name of the address leads back to it"
        "地址的反向解析与正向解析一致"
        { Zonemaster "ADDRESS02" Zonemaster "ADDRESS03" Rfc "RFC 1912" }
    Ip09 "IP-09" Address Accurate [compares]
        "its addresses are where its owner declared them"
        "地址与申报一致"
        { Rfc "RFC 1034" }
    Ip10 "IP-10" Address Accurate []
        "sets of data agree on its country"
        "各数据集对所在国家的记载一致"
        { Rfc "RFC 8805" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_one_of_a_kind_and_say_their_area() {
        let ids: BTreeSet<&str> = Check::ALL.iter().map(|c| c.entry().id).collect();
        assert_eq!(ids.len(), Check::ALL.len());
        for check in Check::ALL {
            let entry = check.entry();
            let area = match entry.id.split('-').next().unwrap() {
                "REG" | "IDN" => Area::Registration,
                "RES" | "RED" => Area::Resolution,
                _ => Area::Address,
            };
            assert_eq!(entry.cell.0, area, "{}", entry.id);
            assert!(!entry.standards.is_empty(), "{}", entry.id);
            assert_eq!(serde_json::to_value(check).unwrap(), entry.id);
        }
    }
}
