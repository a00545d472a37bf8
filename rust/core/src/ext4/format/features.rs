//! The feature words of the superblock. Source: kernel, Documentation/filesystems/ext4/super.rst.

/// s_feature_compat, s_feature_incompat and s_feature_ro_compat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub compat: u32,
    pub incompat: u32,
    pub ro_compat: u32,
}

impl Features {
    pub const EXT_ATTR: Self = Self::compat(0x8);
    pub const SPARSE_SUPER2: Self = Self::compat(0x200);
    pub const FILETYPE: Self = Self::incompat(0x2);
    pub const EXTENTS: Self = Self::incompat(0x40);
    pub const FLEX_BG: Self = Self::incompat(0x200);
    pub const INLINE_DATA: Self = Self::incompat(0x8000);
    pub const LARGE_FILE: Self = Self::ro_compat(0x2);
    pub const HUGE_FILE: Self = Self::ro_compat(0x8);
    pub const DIR_NLINK: Self = Self::ro_compat(0x20);
    pub const EXTRA_ISIZE: Self = Self::ro_compat(0x40);
    pub const METADATA_CSUM: Self = Self::ro_compat(0x400);
    pub const READONLY: Self = Self::ro_compat(0x1000);

    /// All of these.
    pub const fn all(features: &[Self]) -> Self {
        let mut sum = Self { compat: 0, incompat: 0, ro_compat: 0 };
        let mut rest = features;
        while let [first, others @ ..] = rest {
            sum = sum.with(*first);
            rest = others;
        }
        sum
    }

    /// These and others.
    pub const fn with(self, others: Self) -> Self {
        Self {
            compat: self.compat | others.compat,
            incompat: self.incompat | others.incompat,
            ro_compat: self.ro_compat | others.ro_compat,
        }
    }

    pub const fn contains(self, others: Self) -> bool {
        self.compat & others.compat == others.compat
            && self.incompat & others.incompat == others.incompat
            && self.ro_compat & others.ro_compat == others.ro_compat
    }

    const fn compat(compat: u32) -> Self {
        Self { compat, incompat: 0, ro_compat: 0 }
    }

    const fn incompat(incompat: u32) -> Self {
        Self { compat: 0, incompat, ro_compat: 0 }
    }

    const fn ro_compat(ro_compat: u32) -> Self {
        Self { compat: 0, incompat: 0, ro_compat }
    }
}
