/// What an array may have as its elements to be written and read as a whole.
protocol NativeElement: Codable {
    static func writeArray(_ array: [Self], to state: EncodingState) throws
    static func readsArray(_ value: WireValue, from state: DecodingState) -> Bool
    static func readArray(_ value: WireValue, from state: DecodingState) throws -> [Self]
}

/// Elements whose arrays are copied: numbers, and Bool, whose bytes are checked.
protocol PackedElement: NativeElement, BitwiseCopyable {
    static var packedTag: UInt8 { get }
}

extension WireScalar {
    static var packedTag: UInt8 { wireTag }
}

extension Int: PackedElement {}
extension Int8: PackedElement {}
extension Int16: PackedElement {}
extension Int32: PackedElement {}
extension Int64: PackedElement {}
extension Int128: PackedElement {}
extension UInt: PackedElement {}
extension UInt8: PackedElement {}
extension UInt16: PackedElement {}
extension UInt32: PackedElement {}
extension UInt64: PackedElement {}
extension UInt128: PackedElement {}
extension Float: PackedElement {}
extension Double: PackedElement {}
extension Bool: PackedElement { static var packedTag: UInt8 { WireTag.packedBool } }

extension PackedElement {
    static func writeArray(_ array: [Self], to state: EncodingState) throws {
        try state.putArray(array, element: packedTag, elementSize: MemoryLayout<Self>.stride)
    }

    static func readsArray(_ value: WireValue, from state: DecodingState) -> Bool {
        state.isPacked(value, of: packedTag)
    }

    static func readArray(_ value: WireValue, from state: DecodingState) throws -> [Self] {
        let bytes = try state.packedBytes(value, of: Self.self)
        let count = bytes.count / MemoryLayout<Self>.stride
        return try [Self](unsafeUninitializedCapacity: count) { target, initialized in
            try state.copyPacked(bytes, to: target)
            initialized = count
        }
    }
}

extension String: NativeElement {
    /// Writes what `Array.encode(to:)` would write.
    static func writeArray(_ array: [String], to state: EncodingState) throws {
        try state.push([String].self, floating: false)
        do {
            state.openUnkeyed()
            for text in array {
                try state.put(text)
                state.current.count += 1
            }
        } catch {
            state.dropFrames(above: state.top - 1)
            throw error
        }
        state.closeFrames(above: state.top - 1)
    }

    static func readsArray(_ value: WireValue, from state: DecodingState) -> Bool {
        value.tag == WireTag.unkeyed
    }

    static func readArray(_ value: WireValue, from state: DecodingState) throws -> [String] {
        let elements = try state.elements(of: value)
        let (parent, place) = (state.parent, state.place)
        // The count was checked against the bytes that are there, and is paid for before memory is taken.
        try state.charge((elements.count ?? 0) * MemoryLayout<String>.stride, parent: parent, place: place)
        state.parent = try state.push([String].self, value, parent: parent, place: place)
        defer { state.pop() }
        var array: [String] = []
        array.reserveCapacity(elements.count ?? 0)
        var position = elements.start
        while position < elements.end {
            state.place = -1 - array.count
            // A count that is missing or too small.
            if array.count >= elements.count ?? 0 {
                try state.charge(MemoryLayout<String>.stride, parent: state.parent, place: state.place)
            }
            let element = try state.value(at: position, limit: elements.end)
            array.append(try state.string(element))
            position = try state.end(of: element)
        }
        return array
    }
}

extension Array: NativeValue where Element: NativeElement {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        // Not `load(as:)`, which asks for the metadata of the array's type.
        try Element.writeArray(pointer.assumingMemoryBound(to: [Element].self).pointee, to: state)
    }

    static func reads(_ value: WireValue, from state: DecodingState) -> Bool {
        Element.readsArray(value, from: state)
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Self {
        try Element.readArray(value, from: state)
    }
}

extension ContiguousArray: NativeValue where Element: PackedElement {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        let array = pointer.load(as: Self.self)
        try state.putArray(array, element: Element.packedTag, elementSize: MemoryLayout<Element>.stride)
    }

    static func reads(_ value: WireValue, from state: DecodingState) -> Bool {
        state.isPacked(value, of: Element.packedTag)
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Self {
        let bytes = try state.packedBytes(value, of: Element.self)
        let count = bytes.count / MemoryLayout<Element>.stride
        return try Self(unsafeUninitializedCapacity: count) { target, initialized in
            try state.copyPacked(bytes, to: target)
            initialized = count
        }
    }
}
