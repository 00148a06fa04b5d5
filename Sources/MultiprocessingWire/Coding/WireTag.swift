#if !(_endian(little) && _pointerBitWidth(_64))
    #error("The wire format is written for little-endian 64-bit platforms")
#endif

/// The first byte of every encoded value: see Documentation/WireFormat.md.
enum WireTag {
    /// A value whose `encode(to:)` wrote nothing.
    static let empty: UInt8 = 0x01
    static let null: UInt8 = 0x02
    /// In front of an optional's payload that is itself an optional, so that `.some(nil)` differs from `nil`.
    static let some: UInt8 = 0x03
    static let no: UInt8 = 0x04
    static let yes: UInt8 = 0x05
    static let shortString: UInt8 = 0x06
    static let string: UInt8 = 0x07
    /// A keyed container in which each key occurs once.
    static let keyed: UInt8 = 0x08
    /// A keyed container in which a key may occur again: the last one counts.
    static let keyedRepeating: UInt8 = 0x09
    static let unkeyed: UInt8 = 0x0A
    /// Elements of one fixed-size type, without their tags.
    static let packed: UInt8 = 0x0B
    /// Stands for Bool as the element of a packed container.
    static let packedBool: UInt8 = 0x0C

    static let int8: UInt8 = 0x10
    static let int16: UInt8 = 0x11
    static let int32: UInt8 = 0x12
    static let int64: UInt8 = 0x13
    static let int128: UInt8 = 0x14
    static let uint8: UInt8 = 0x18
    static let uint16: UInt8 = 0x19
    static let uint32: UInt8 = 0x1A
    static let uint64: UInt8 = 0x1B
    static let uint128: UInt8 = 0x1C
    static let float: UInt8 = 0x22
    static let double: UInt8 = 0x23

    /// The payload's size in bytes of a tag with fixed size; nil for the others and for unknown tags.
    static func fixedSize(_ tag: UInt8) -> Int? {
        switch tag {
        case empty, null, no, yes: 0
        case packedBool, int8, uint8: 1
        case int16, uint16: 2
        case int32, uint32, float: 4
        case int64, uint64, double: 8
        case int128, uint128: 16
        default: nil
        }
    }

    /// The size of a packed container's element; nil when the tag cannot be packed.
    static func packedSize(_ tag: UInt8) -> Int? {
        tag < packedBool ? nil : fixedSize(tag)
    }
}

/// Sizes and numbers of the wire format that both directions share.
enum WireFormat {
    /// The first byte of every message.
    static let version: UInt8 = 0x51
    /// Tag and 56-bit length.
    static let headerSize = 8
    /// Behind the header of an unkeyed container: its count; of a packed one: its element's tag.
    static let elementInfoSize = 4
    /// Stands for "more than fits" in the count of an unkeyed container.
    static let unknownCount = UInt32.max
    static let maximumLength = (1 << 55) - 1
    /// A key's length byte that announces a four-byte length.
    static let longKey: UInt8 = 0xFF

    static func header(tag: UInt8, length: Int) -> UInt64 {
        UInt64(tag) | UInt64(length) << 8
    }
}
