// Reads function values and their contexts.
//
// Invariants relied upon (IRGen/GenHeap.cpp, GenReflection.cpp; ABI/Metadata.h; RemoteInspection/Records.h), on 64-bit
// platforms with no signed pointers:
// - a thick function value is two words: the code and a context, which is null or a counted heap object;
// - the code of an async function is the address of two 32-bit words, the first the distance to its entry point;
// - a context made for several captures has metadata of kind 0x400: kind, offset of the first word after the header,
//   address of a capture descriptor; a box for a captured `var` has the same with one capture;
// - a box of a type known at run time only has metadata of kind 0x500: kind, offset of the value, the value's type;
// - a context that is a single counted reference is that object itself: a class instance, an array's buffer, a box,
//   or an error's box (kind 0x501);
// - a capture descriptor is three 32-bit counts (captures, metadata sources, bindings), then for each capture the
//   relative address of a mangled type name, then for each source those of a mangled type name and of its encoding;
// - bindings are words in front of the captures; a source `B<n>` says that word n is metadata, the others are
//   witness tables; captures follow in order, each at the next multiple of its alignment.

internal import _MultiprocessingShims

/// The two words of a thick function value.
struct FunctionWords {
    var code: UInt
    var context: UnsafeMutableRawPointer?

    init(code: UInt, context: UnsafeMutableRawPointer?) {
        self.code = code
        self.context = context
    }

    /// Reads them where the optimizer cannot follow: it must not reason about what the function is.
    init(at address: UnsafeRawPointer) {
        self.init(code: 0, context: nil)
        withUnsafeMutableBytes(of: &self) { mp_opaque_copy($0.baseAddress!, address, $0.count) }
    }

    func store(at address: UnsafeMutableRawPointer) {
        withUnsafeBytes(of: self) { mp_opaque_copy(address, $0.baseAddress!, $0.count) }
    }
}

/// What the first word of an object says it is.
enum HeapObjectKind {
    case context(ContextMetadata)
    case genericBox(type: any Any.Type, offset: Int)
    case error
    case instance
    case unknown

    init(_ object: UnsafeRawPointer) {
        let metadata = object.load(as: UnsafeRawPointer.self)
        switch metadata.load(as: UInt.self) {
        case 0x400: self = .context(ContextMetadata(address: metadata))
        case 0x500:
            self = .genericBox(
                type: metadata.load(fromByteOffset: 16, as: Any.Type.self),
                offset: Int(metadata.load(fromByteOffset: 8, as: UInt32.self))
            )
        case 0x501: self = .error
        case 0, 0x800...: self = .instance
        default: self = .unknown
        }
    }
}

/// Metadata of kind 0x400.
struct ContextMetadata {
    let address: UnsafeRawPointer

    static let kind: UInt = 0x400
    var hasContextKind: Bool { address.load(as: UInt.self) == Self.kind }
    var firstOffset: Int { Int(address.load(fromByteOffset: 8, as: UInt32.self)) }

    /// Whether a layout starts where the compiler says it does, which is 0 if that depends on a resilient type.
    func agrees(with layout: StructLayout) -> Bool {
        [0, 16, layout.elements.first?.offset].contains(firstOffset)
    }

    /// The capture descriptor, unless the build left reflection metadata out.
    var captures: CaptureDescriptor? {
        address.load(fromByteOffset: 16, as: UnsafeRawPointer?.self).map(CaptureDescriptor.init)
    }
}

struct CaptureDescriptor {
    let address: UnsafeRawPointer

    private func count(_ index: Int) -> Int { Int(address.load(fromByteOffset: index * 4, as: UInt32.self)) }
    private func relative(_ offset: Int) -> UnsafeRawPointer {
        address + offset + Int(address.load(fromByteOffset: offset, as: Int32.self))
    }

    var captureCount: Int { count(0) }
    var bindingCount: Int { count(2) }
    var captures: [MangledName] { (0..<count(0)).map { MangledName(relative(12 + $0 * 4)) } }

    /// Where metadata of the generic parameters can be found.
    var sources: [MetadataSource] {
        (0..<count(1)).map { index in
            let record = 12 + count(0) * 4 + index * 8
            let encoding = String(cString: relative(record + 4).assumingMemoryBound(to: CChar.self))
            return MetadataSource(type: MangledName(relative(record)), place: .init(encoding))
        }
    }
}

/// Says where metadata of a type is found in a context (RemoteInspection/MetadataSource.h).
struct MetadataSource {
    let type: MangledName
    let place: Place

    enum Place {
        /// `B<n>`: binding n.
        case binding(Int)
        /// `G<i>R<n>_`: generic argument i of the class of the object that is capture n.
        case argument(Int, ofObject: Int)
        case unsupported

        init(_ encoding: String) {
            var rest = Array(encoding.utf8)[...]
            self = .unsupported
            switch rest.popFirst() {
            case UInt8(ascii: "B"):
                if let index = MangledName.natural(&rest), rest.isEmpty { self = .binding(index) }
            case UInt8(ascii: "G"):
                if let argument = MangledName.natural(&rest), rest.popFirst() == UInt8(ascii: "R"),
                    let capture = MangledName.natural(&rest), rest.elementsEqual("_".utf8)
                {
                    self = .argument(argument, ofObject: capture)
                }
            default: break
            }
        }
    }
}
