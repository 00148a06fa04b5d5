public import SystemPackage
internal import _MultiprocessingShims

/// Turns a shim's result (>= 0, or -errno) into a value or a thrown `Errno`.
@inlinable
func check<Number: SignedInteger>(_ result: Number) throws(Errno) -> Number {
    if result < 0 { throw Errno(rawValue: CInt(-result)) }
    return result
}
