/// A number that the format knows: written as its tag and its little-endian bytes.
protocol WireScalar: Codable, BitwiseCopyable {
    static var wireTag: UInt8 { get }
    /// The value of `number` in this type, if it fits.
    static func fitting(_ number: WireNumber) -> Self?
}

/// A number as it was found in a message.
enum WireNumber {
    case signed(Int128)
    case unsigned(UInt128)
    case floating(Double)
}

extension WireScalar where Self: FixedWidthInteger {
    static func fitting(_ number: WireNumber) -> Self? {
        switch number {
        case .signed(let value): Self(exactly: value)
        case .unsigned(let value): Self(exactly: value)
        case .floating(let value): Self(exactly: value)
        }
    }
}

extension WireScalar where Self: BinaryFloatingPoint {
    static func fitting(_ number: WireNumber) -> Self? {
        switch number {
        case .signed(let value): return Self(exactly: value)
        case .unsigned(let value): return Self(exactly: value)
        case .floating(let value):
            // Rounding to a narrower type is what other coders do as well; becoming infinite is not.
            let rounded = Self(value)
            return rounded.isInfinite && !value.isInfinite ? nil : rounded
        }
    }
}

extension Int: WireScalar { static var wireTag: UInt8 { WireTag.int64 } }
extension Int8: WireScalar { static var wireTag: UInt8 { WireTag.int8 } }
extension Int16: WireScalar { static var wireTag: UInt8 { WireTag.int16 } }
extension Int32: WireScalar { static var wireTag: UInt8 { WireTag.int32 } }
extension Int64: WireScalar { static var wireTag: UInt8 { WireTag.int64 } }
extension Int128: WireScalar { static var wireTag: UInt8 { WireTag.int128 } }
extension UInt: WireScalar { static var wireTag: UInt8 { WireTag.uint64 } }
extension UInt8: WireScalar { static var wireTag: UInt8 { WireTag.uint8 } }
extension UInt16: WireScalar { static var wireTag: UInt8 { WireTag.uint16 } }
extension UInt32: WireScalar { static var wireTag: UInt8 { WireTag.uint32 } }
extension UInt64: WireScalar { static var wireTag: UInt8 { WireTag.uint64 } }
extension UInt128: WireScalar { static var wireTag: UInt8 { WireTag.uint128 } }
extension Float: WireScalar { static var wireTag: UInt8 { WireTag.float } }
extension Double: WireScalar { static var wireTag: UInt8 { WireTag.double } }

/// An array or text in one block of memory, which is copied rather than walked.
protocol PackedCollection {
    var count: Int { get }
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result
}

extension Array: PackedCollection where Element: PackedElement {}
extension ContiguousArray: PackedCollection where Element: PackedElement {}

/// A text of contiguous UTF-8, which every text is after `withUTF8`.
struct LargeText: PackedCollection {
    let text: String

    var count: Int { text.utf8.count }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        var text = text
        return try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
    }
}
