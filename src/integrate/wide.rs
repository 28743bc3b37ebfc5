//! Plain loops, compiled for the widest vectors of the processor.

/// Defines a function that is compiled for AVX-512, AVX2 and the baseline, and chosen at run
/// time. No version fuses multiply and add, so all of them round alike.
macro_rules! widest {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "slices in a struct are not seen to be apart")]
        pub(super) fn $name($($arg: $ty),*) $(-> $out)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn plain($($arg: $ty),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn avx512($($arg: $ty),*) $(-> $out)? { plain($($arg),*) }
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn avx2($($arg: $ty),*) $(-> $out)? { plain($($arg),*) }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor was just seen to have the features.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use widest;
