/// What a program has to know to become a worker of a pool: where the pool is, and its secret.
///
/// Comes from ``Pool/invitation``, or to a ``StreamWorkers/Launcher``; goes to ``PoolWorkerProgram``. It holds the pool's secret:
/// see ``WorkerToken`` for how to hand it on.
public struct WorkerInvitation: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Where the pool waits.
    public var address: WorkerAddress
    /// The pool's secret.
    public var token: WorkerToken
    /// The place that is kept for whoever has this invitation; nil for one of those that come by themselves.
    var place: Int?

    /// An invitation for workers that come by themselves.
    public init(address: WorkerAddress, token: WorkerToken) {
        self.init(address: address, token: token, place: nil)
    }

    init(address: WorkerAddress, token: WorkerToken, place: Int?) {
        self.address = address
        self.token = token
        self.place = place
    }

    /// All of it, the secret as well, in one line: for standard input or an environment variable.
    public var text: String {
        "\(address) \(token.text)" + (place.map { " \($0)" } ?? "")
    }

    /// Reads what ``text`` gives; white space around it does not matter. Nil if it is anything else.
    public init?(_ text: String) {
        // From the end, because a path may have spaces in it.
        var rest = text[...]
        while rest.last?.isWhitespace == true { rest.removeLast() }
        rest = rest.drop(while: \.isWhitespace)
        func lastWord() -> Substring? {
            guard let space = rest.lastIndex(of: " ") else { return nil }
            defer { rest = rest[..<space] }
            return rest[rest.index(after: space)...]
        }
        guard var word = lastWord() else { return nil }
        var place: Int?
        if WorkerToken(String(word)) == nil {
            guard let number = Int(word), number >= 0, let next = lastWord() else { return nil }
            (place, word) = (number, next)
        }
        guard let token = WorkerToken(String(word)), let address = WorkerAddress(String(rest)) else { return nil }
        self.init(address: address, token: token, place: place)
    }

    public var description: String { "an invitation to \(address)" }
}
