/// A mangled type name put together at run time, with descriptors and types in the place of names.
///
/// The runtime resolves it as it would resolve a name that the compiler wrote, so generic arguments are checked and
/// witness tables are found by the runtime itself.
/// Invariants relied upon (ABI/Mangling.rst): byte 2 with a 32-bit distance refers to a pointer to a descriptor; `x`,
/// `q_`, `q0_` … are generic parameters, which a generic environment (ABI/GenericContext.h) maps to given metadata.
struct TypeLookup {
    enum Piece: Hashable {
        case text(String)
        case descriptor(UnsafeRawPointer)
    }
    private var pieces: [Piece] = []
    private var environment = GenericEnvironment()

    mutating func append(_ text: String) { pieces.append(.text(text)) }

    mutating func append(descriptor: UnsafeRawPointer) { pieces.append(.descriptor(descriptor)) }

    mutating func append(_ type: any Any.Type) {
        let index = environment.count
        environment.add(type, depth: 0, index: index)
        append(index == 0 ? "x" : index == 1 ? "q_" : "q\(index - 2)_")
    }

    /// The type, from the runtime if it was not asked for it before.
    func resolve() -> (any Any.Type)? {
        KnownTypes.find(.composed(pieces, environment.identifiers)) { ask() }
    }

    private func ask() -> (any Any.Type)? {
        let slotCount = pieces.count { if case .descriptor = $0 { true } else { false } }
        let size = pieces.reduce(slotCount * 8 + 1) { size, piece in
            if case .text(let text) = piece { size + text.utf8.count } else { size + 5 }
        }
        // The descriptors' addresses come first, the name behind them: the distances between are small.
        return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { memory in
            let start = memory.baseAddress!
            var (slot, end) = (start, start + slotCount * 8)
            let name = UnsafeRawPointer(end)
            for piece in pieces {
                switch piece {
                case .text(let text):
                    for byte in text.utf8 {
                        end.storeBytes(of: byte, as: UInt8.self)
                        end += 1
                    }
                case .descriptor(let address):
                    slot.storeBytes(of: address, as: UnsafeRawPointer.self)
                    end.storeBytes(of: 2, as: UInt8.self)
                    end += 1
                    end.storeBytes(of: Int32(UnsafeRawPointer(slot) - UnsafeRawPointer(end)), as: Int32.self)
                    end += 4
                    slot += 8
                }
            }
            end.storeBytes(of: 0, as: UInt8.self)
            return environment.resolve(name, length: UnsafeRawPointer(end) - name)
        }
    }
}

/// The types that stand for generic parameters when a name is resolved.
struct GenericEnvironment {
    private var levels: [[(any Any.Type)?]] = []

    var count: Int { levels.reduce(0) { $0 + $1.count } }

    mutating func add(_ type: any Any.Type, depth: Int, index: Int) {
        while levels.count <= depth { levels.append([]) }
        while levels[depth].count <= index { levels[depth].append(nil) }
        levels[depth][index] = type
    }

    /// The arguments, as something to compare.
    var identifiers: [[ObjectIdentifier?]] { levels.map { $0.map { $0.map { ObjectIdentifier($0) } } } }

    /// The type of a name in the program's image, from the runtime if it was not asked for it before.
    func resolve(_ name: MangledName) -> (any Any.Type)? {
        KnownTypes.find(.written(name.start, name.length, identifiers)) { resolve(name.start, length: name.length) }
    }

    func resolve(_ name: UnsafeRawPointer, length: Int) -> (any Any.Type)? {
        // A descriptor of a generic environment: the number of levels, the parameters up to the end of each level, and
        // for each parameter whether it has an argument. Parameters without one cannot be resolved.
        var descriptor: [UInt32] = [UInt32(levels.count)]
        var total = 0
        var halves: [UInt16] = []
        for level in levels {
            total += level.count
            halves.append(UInt16(total))
        }
        var bytes = halves.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        bytes += levels.joined().map { $0 == nil ? 0 : 0x80 }
        bytes += [0, 0, 0]
        for index in stride(from: 0, to: bytes.count - 3, by: 4) {
            let quad = bytes[index..<(index + 4)].reversed()
            descriptor.append(quad.reduce(0) { $0 << 8 | UInt32($1) })
        }
        let arguments = levels.joined().compactMap { $0 }
        return descriptor.withUnsafeBytes { descriptor in
            arguments.withUnsafeBytes { arguments in
                _getTypeByMangledNameInEnvironment(
                    name.assumingMemoryBound(to: UInt8.self),
                    UInt(length),
                    genericEnvironment: descriptor.baseAddress,
                    genericArguments: arguments.baseAddress
                )
            }
        }
    }
}
