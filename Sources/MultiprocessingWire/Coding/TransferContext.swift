internal import _MultiprocessingShims

/// What travels beside the bytes of a message: objects that bytes cannot carry, descriptors above all.
///
/// A handle's `encode(to:)` attaches its object to the context of the message that is being encoded and writes the index that
/// it got; at the other end its `init(from:)` looks the object up under that index. Coding is synchronous, so the context of
/// the moment is a property of the thread. Without one, bytes are all there is, and a handle refuses to be encoded.
public final class TransferContext {
    /// The attached objects, by index.
    public private(set) var objects: [any AnyObject & Sendable]

    /// A context to encode with (empty), or to decode with (the objects that arrived).
    public init(_ objects: [any AnyObject & Sendable] = []) {
        self.objects = objects
    }

    /// Attaches an object, once however often it is asked for; returns its index.
    public func attach(_ object: any AnyObject & Sendable) -> Int {
        if let index = objects.firstIndex(where: { $0 === object }) { return index }
        objects.append(object)
        return objects.count - 1
    }

    /// The context of what this thread is coding now; nil where no objects can travel.
    public static var current: TransferContext? {
        mp_transfer_current().map { Unmanaged<TransferContext>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Makes `context` the current one while `body` runs. Nests; costs no allocation.
    @inline(__always)
    public static func with<R, E: Error>(_ context: TransferContext?, _ body: () throws(E) -> R) throws(E) -> R {
        let outer = mp_transfer_current()
        mp_transfer_set_current(context.map { Unmanaged.passUnretained($0).toOpaque() })
        defer {
            mp_transfer_set_current(outer)
            withExtendedLifetime(context) {}
        }
        return try body()
    }
}
