// Every kind of capture, each used nowhere but in its closure if that matters to the optimizer.

struct Point: Codable, Hashable, Sendable {
    var x: Double
    var y: Int
    func sum(_ z: Int) -> Int { y + z }
    func twice() -> Int { 2 * y }
    func later() async -> Int { y }
}
class Animal: Codable, @unchecked Sendable {
    var legs: Int
    init(legs: Int) { self.legs = legs }
    func speak() -> String { "animal \(legs)" }
}
final class Dog: Animal, @unchecked Sendable {
    var name = "Rex"
    override func speak() -> String { "\(name) \(legs)" }
    init(name: String) { super.init(legs: 4); self.name = name }
    enum Keys: CodingKey { case name, legs }
    required init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Keys.self)
        super.init(legs: try container.decode(Int.self, forKey: .legs))
        name = try container.decode(String.self, forKey: .name)
    }
    override func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Keys.self)
        try container.encode(name, forKey: .name)
        try container.encode(legs, forKey: .legs)
    }
}
final class Plain: Sendable { let v = 3 }
struct NotCodable: Sendable { let text: String; let other: String }
enum Failure: Error, Codable, Equatable { case bad(Int) }
struct Uncodable: Error { let text = "no" }
protocol Shape: Sendable { func area() -> Int }
extension Point: Shape { func area() -> Int { y * y } }
enum Mood: Codable, Sendable { case happy(Int), sad(String), neutral }
struct Pair<A: Codable & Sendable, B: Codable & Sendable>: Codable, Sendable { var a: A; var b: B }
struct Wrapper: Codable, Sendable { var items: [Int] }

private struct PrivateConfig: Codable { var a: Int; var name: String }
private struct PrivateOnlyCaptured: Codable {
    var small: UInt8; var a: Int; var name: String; var inner: Inner; var list: [Int]
    struct Inner: Codable { var flag: Bool; var d: Double }
}
private enum PrivateMode: Codable { case fast, slow, medium }
private enum PrivatePayload: Codable { case a(Int), b(String) }
private struct PrivateResult: Codable, Equatable { var v: Int }
private struct PrivateBox<T: Codable & Sendable>: Codable, Sendable { var t: T }
private struct PrivateSmall: Codable {
    var u: UInt8
    var mood: Mood
    var flag: Bool
    var q: UInt16
    var v: SIMD2<Double>
    enum Mood: Codable { case fast, slow }
}
private final class PrivateObject: Codable, Sendable {
    let v: Int
    init(_ v: Int) { self.v = v }
}
private protocol Named: AnyObject, Sendable { var name: String { get } }
extension PrivateObject: Named { var name: String { "five \(v)" } }
private struct PrivateHolder: Codable { var object: PrivateObject }
private struct PrivatePlain: Codable { var a: Int; var s: String }
private enum PrivateOne: Codable { case only }
@inline(never) private func makeObject(_ n: Int) -> PrivateObject { PrivateObject(n) }
@inline(never) private func makeSmall(_ n: Int) -> (PrivateSmall, PrivateHolder, PrivatePlain, PrivateOne) {
    (
        PrivateSmall(u: 1, mood: n > 0 ? .slow : .fast, flag: n > 0, q: 7, v: [2, 3]),
        PrivateHolder(object: .init(n)), PrivatePlain(a: n, s: ""), .only
    )
}
@inline(never) private func makeOnlyCaptured(_ n: Int) -> PrivateOnlyCaptured {
    PrivateOnlyCaptured(small: 7, a: n, name: "n\(n)", inner: .init(flag: n > 0, d: 2.5), list: [n, n])
}
@inline(never) private func makeMode(_ n: Int) -> PrivateMode { n == 4 ? .medium : .fast }
@inline(never) private func makePayload(_ n: Int) -> PrivatePayload { n == 4 ? .b("x") : .a(n) }

func globalFunction() -> Int { 30 }
func globalAsync() async -> String { await Task.yield(); return "global" }

public let captureCases: [CaptureCase] = basicCases + typeCases + functionCases + genericCases + refusalCases

let basicCases: [CaptureCase] = [
    CaptureCase("nothing") { c in try expect(await c.run { 3 }, 3) },
    CaptureCase("void") { c in try await c.run {} },
    CaptureCase("Int") { c in
        let n = opaque(4); try expect(await c.run { n * 3 }, 12)
    },
    CaptureCase("String") { c in
        let s = opaque("a string that is longer than fifteen bytes")
        try expect(await c.run { s + "!" }, "a string that is longer than fifteen bytes!")
    },
    CaptureCase("several") { c in
        let (a, b, d, e) = (opaque(true), opaque(2.5), opaque(UInt8(3)), opaque("x"))
        try expect(await c.run { a ? "\(b)\(d)\(e)" : "" }, "2.53x")
    },
    CaptureCase("lone array") { c in
        let a = opaque([1, 2, 3]); try expect(await c.run { a.reduce(0, +) }, 6)
    },
    CaptureCase("lone empty array") { c in
        let a = opaque([String]()); try expect(await c.run { a.count }, 0)
    },
    CaptureCase("lone array of class") { c in
        let a = opaque([Animal(legs: 3), Dog(name: "Bo")]); try expect(await c.run { a.map { $0.legs } }, [3, 4])
    },
    CaptureCase("constant array") { c in
        let a = [5, 6, 7]; try expect(await c.run { a.count + a[0] }, 8)
    },
    CaptureCase("array and more") { c in
        let (a, n) = (opaque(["a", "b"]), opaque(1)); try expect(await c.run { a[n] }, "b")
    },
    CaptureCase("struct with one array") { c in
        let w = opaque(Wrapper(items: [1, 2])); try expect(await c.run { w.items }, [1, 2])
    },
    CaptureCase("dictionary") { c in
        let d = opaque(["a": 1]); try expect(await c.run { d["a"] }, 1)
    },
    CaptureCase("set") { c in
        let s = opaque(Set([1, 2])); try expect(await c.run { s.contains(2) }, true)
    },
    CaptureCase("struct") { c in
        let p = opaque(Point(x: 1, y: 2)); try expect(await c.run { p.y }, 2)
    },
    CaptureCase("enum") { c in
        let m = opaque(Mood.sad("why"))
        try expect(await c.run { if case .sad(let s) = m { s } else { "" } }, "why")
    },
    CaptureCase("generic struct") { c in
        let p = opaque(Pair(a: 1, b: ["x"])); try expect(await c.run { p.b[0] + "\(p.a)" }, "x1")
    },
    CaptureCase("lone object") { c in
        let o = opaque(Animal(legs: 2)); try expect(await c.run { o.speak() }, "animal 2")
    },
    CaptureCase("subclass object") { c in
        let (o, n) = (opaque(Dog(name: "Ace") as Animal), opaque(1))
        try expect(await c.run { o.speak() + "\(n)" }, "Ace 41")
    },
    CaptureCase("lone subclass object") { c in
        let o = opaque(Dog(name: "Ace") as Animal); try expect(await c.run { o.speak() }, "Ace 4")
    },
    CaptureCase("optional object") { c in
        let (o, z) = (opaque(Animal(legs: 2) as Animal?), opaque(nil as Animal?))
        try expect(await c.run { (o?.legs ?? 0) + (z?.legs ?? 10) }, 12)
    },
    CaptureCase("tuple") { c in
        let t = opaque((1, b: "a")); try expect(await c.run { "\(t.0)\(t.b)" }, "1a")
    },
    CaptureCase("array of tuples") { c in
        let t = opaque([(1, "a"), (2, "b")]); try expect(await c.run { t.map { "\($0.0)\($0.1)" }.joined() }, "1a2b")
    },
    CaptureCase("optional tuple") { c in
        let (t, u) = (opaque((1, "a") as (Int, String)?), opaque(nil as (Int, String)?))
        try expect(await c.run { "\(t!.1)\(u == nil)" }, "atrue")
    },
    CaptureCase("dictionary of tuples") { c in
        let t = opaque(["k": (1, Character("z"))]); try expect(await c.run { "\(t["k"]!.1)" }, "z")
    },
    CaptureCase("Character") { c in
        let t: Character = opaque("é"); try expect(await c.run { "\(t)" }, "é")
    },
    CaptureCase("Unicode.Scalar") { c in
        let t: Unicode.Scalar = opaque("é"); try expect(await c.run { t.value }, 233)
    },
    CaptureCase("Substring") { c in
        let t = opaque("hello world".dropFirst(6)); try expect(await c.run { String(t) }, "world")
    },
    CaptureCase("StaticString") { c in
        let t: StaticString = opaque("static text"); try expect(await c.run { "\(t)" }, "static text")
    },
    CaptureCase("Result") { c in
        let t: Result<(Int, Int), Failure> = opaque(.success((1, 2))),
            u: Result<Int, any Error> = opaque(.failure(Failure.bad(3)))
        try expect(
            await c.run {
                if case .failure(let e as Failure) = u { try t.get().1 + (e == .bad(3) ? 10 : 0) } else { 0 }
            },
            12
        )
    },
    CaptureCase("Duration") { c in
        let t = opaque(Duration.seconds(3)); try expect(await c.run { t * 2 }, .seconds(6))
    },
    CaptureCase("ranges") { c in
        let (a, b, d, e, f) = (opaque(1..<4), opaque(1...4), opaque(2...), opaque(..<2), opaque(...2))
        try expect(await c.run { "\(a.count)\(b.count)\(d.lowerBound)\(e.upperBound)\(f.upperBound)" }, "34222")
    },
    CaptureCase("ranges of non-Codable bounds") { c in
        let (a, b) = (opaque(Character("a")..<"d"), opaque(Character("b")...))
        try expect(await c.run { a.contains("b") && b.contains("c") }, true)
    },
    CaptureCase("slice") { c in
        let a = opaque([1, 2, 3][1...]); try expect(await c.run { Array(a) }, [2, 3])
    },
    CaptureCase("lone error") { c in
        let e: any Error = opaque(Failure.bad(1)); try expect(await c.run { e as? Failure }, .bad(1))
    },
    CaptureCase("error and more") { c in
        let (e, n): (any Error, Int) = (opaque(Failure.bad(1)), opaque(2))
        try expect(await c.run { "\(e)\(n)" }, "bad(1)2")
    },
    CaptureCase("existential") { c in
        let s: any Shape = opaque(Point(x: 0, y: 3)); try expect(await c.run { s.area() }, 9)
    },
    CaptureCase("array of existentials") { c in
        let s: [any Shape] = opaque([Point(x: 0, y: 3), Point(x: 0, y: 4)])
        try expect(await c.run { s.map { $0.area() } }, [9, 16])
    },
    CaptureCase("any Codable") { c in
        let s: any Codable & Sendable = opaque(["k": [1]])
        try expect(await c.run { (s as? [String: [Int]])?["k"] }, [1])
    },
    CaptureCase("Any") { c in
        let s: any Sendable = opaque((1, Character("a"))); try expect(await c.run { "\(s)" }, "(1, \"a\")")
    },
    CaptureCase("mutable capture") { c in
        nonisolated(unsafe) var v = opaque(5)
        try expect(
            await c.run {
                v += 1; return v
            },
            6
        )
        try expect(v, 5)
    },
    CaptureCase("mutable captures and more") { c in
        nonisolated(unsafe) var v = opaque("s"), w = opaque(Point(x: 1, y: 2))
        let n = opaque(7)
        try expect(
            await c.run {
                v += "t"; w.y += n; return v + "\(w.y)"
            },
            "st9"
        )
    },
    CaptureCase("nil and values of optionals") { c in
        let (a, b, d) = (opaque(nil as Int?), opaque("x" as String?), opaque(3 as Int??))
        try expect(await c.run { "\(a == nil)\(b!)\(d!!)" }, "truex3")
    },
    CaptureCase("sizes and alignments") { c in
        let (a, b, d, e, f, g) = (
            opaque(true), opaque(Int16(-2)), opaque(UInt8(3)), opaque(Float(0.5)), opaque(Int64.min),
            opaque((UInt8(1), 2.5))
        )
        try expect(await c.run { "\(a)\(b)\(d)\(e)\(f)\(g.1)\(g.0)" }, "true-230.5\(Int64.min)2.51")
    },
    CaptureCase("SIMD") { c in
        let (a, v) = (opaque(UInt8(1)), opaque(SIMD4<Float>(1, 2, 3, 4)));
        try expect(await c.run { v.sum() + Float(a) }, 11)
    },
]

let typeCases: [CaptureCase] = [
    CaptureCase("metatypes") { c in
        let (a, b, d): (Int.Type, any Shape.Type, any Any.Type) = (
            opaque(Int.self), opaque(Point.self), opaque(Dog.self)
        )
        try expect(await c.run { "\(a) \(b) \(d)" }, "Int Point Dog")
    },
    CaptureCase("class metatype") { c in
        let (a, n): (Animal.Type, Int) = (opaque(Dog.self), opaque(1)); try expect(await c.run { "\(a)\(n)" }, "Dog1")
    },
    CaptureCase("metatype of a private type") { c in
        let a: any Any.Type = opaque(PrivateBox<PrivateConfig>.self)
        try expect(await c.run { "\(a)" }, "PrivateBox<PrivateConfig>")
    },
    CaptureCase("private struct") { c in
        let p = opaque(PrivateConfig(a: 1, name: "n")); try expect(await c.run { p.name + "\(p.a)" }, "n1")
    },
    CaptureCase("private struct captured only") { c in
        let p = makeOnlyCaptured(opaque(4))
        try expect(
            await c.run { "\(p.small)\(p.a)\(p.name)\(p.inner.flag)\(p.inner.d)\(p.list)" },
            "74n4true2.5[4, 4]"
        )
    },
    CaptureCase("private enum captured only") { c in
        let m = makeMode(opaque(4))
        try expect(
            await c.run {
                switch m {
                case .fast: 1;
                case .slow: 2;
                case .medium: 3
                }
            },
            3
        )
    },
    CaptureCase("private generic struct") { c in
        let p = opaque(PrivateBox(t: PrivateConfig(a: 3, name: "n"))); try expect(await c.run { p.t.a }, 3)
    },
    CaptureCase("private structs captured only") { c in
        let (s, o, t, n) = makeSmall(opaque(4))
        try expect(await c.run { "\(s.mood == .slow)\(s.u)\(s.flag)\(s.q)\(s.v.x)" }, "true1true72.0")
        try expect(await c.run { o.object.v }, 4)
        try expect(await c.run { "\(t.a)\(n)" }, "4only")
    },
    CaptureCase("private class captured only") { c in
        let o = makeObject(opaque(4)), n = opaque(1)
        try expect(await c.run { o.v }, 4)
        try expect(await c.run { o.v + n }, 5)
    },
    CaptureCase("class-bound existential") { c in
        let o: any Named = opaque(makeObject(5)); try expect(await c.run { o.name }, "five 5")
    },
    CaptureCase("instant, whose layout its library keeps to itself") { c in
        let (t, n) = (opaque(ContinuousClock.now), opaque(1))
        try expect(await c.run { t <= .now }, true)
        try expect(await c.run { n == 1 && t <= .now }, true)
    },
    CaptureCase("over-aligned vector") { c in
        let (a, v) = (opaque(UInt8(1)), opaque(SIMD8<Double>(repeating: 2)))
        try expect(await c.run { v.sum() }, 16)
        try expect(await c.run { v.sum() + Double(a) }, 17)
    },
    CaptureCase("cancellation error") { c in
        let r: Result<Int, any Error> = opaque(.failure(CancellationError()))
        try expect(await c.run { if case .failure(let e) = r { e is CancellationError } else { false } }, true)
    },
    CaptureCase("local struct") { c in
        struct Local: Codable { var q: [Int]; var z: Int }
        let p = opaque(Local(q: [1], z: 2)); try expect(await c.run { p.q.count + p.z }, 3)
    },
    CaptureCase("existential of a private type") { c in
        let p: any Codable & Sendable = opaque(PrivateBox(t: [PrivateConfig(a: 3, name: "n")]))
        try expect(await c.run { (p as? PrivateBox<[PrivateConfig]>)?.t[0].a }, 3)
    },
    CaptureCase("private result") { c in
        let n = opaque(3); try expect(await c.run { PrivateResult(v: n) }, PrivateResult(v: 3))
    },
    CaptureCase("local result") { c in
        struct Local: Codable, Equatable { var v: [String: Int] }
        let n = opaque(3); try expect(await c.run { Local(v: ["n": n]) }, Local(v: ["n": 3]))
    },
    CaptureCase("tuple result") { c in
        let n = opaque(3); let r = try await c.run { (n, "a", [n: PrivateResult(v: n)]) }
        try expect(r.0, 3); try expect(r.1, "a"); try expect(r.2, [3: PrivateResult(v: 3)])
    },
    CaptureCase("optional and array of tuples result") { c in
        let n = opaque(3); let r = try await c.run { [(n, "a" as String?), (1, nil)] }
        try expect("\(r)", "[(3, Optional(\"a\")), (1, nil)]")
    },
    CaptureCase("object result") { c in
        let n = opaque("N"); let r = try await c.run { Dog(name: n) as Animal }; try expect(r.speak(), "N 4")
    },
    CaptureCase("existential result") { c in
        let n = opaque(3); let r: any Shape = try await c.run { Point(x: 0, y: n) as any Shape };
        try expect(r.area(), 9)
    },
]

let functionCases: [CaptureCase] = [
    CaptureCase("throws") { c in
        let n = opaque(3)
        do { try await c.run { throw Failure.bad(n) } } catch let e as Failure { return try expect(e, .bad(3)) }
        throw CaseFailure(description: "nothing thrown")
    },
    CaptureCase("typed throws") { c in
        let n = opaque(3)
        do { _ = try await c.run { () throws(Failure) -> Int in throw .bad(n) } } catch let e as Failure {
            return try expect(e, .bad(3))
        }
        throw CaseFailure(description: "nothing thrown")
    },
    CaptureCase("throws async") { c in
        let n = opaque(3)
        do {
            try await c.runAsync {
                await Task.yield(); throw Failure.bad(n)
            } as Void
        } catch let e as Failure { return try expect(e, .bad(3)) }
        throw CaseFailure(description: "nothing thrown")
    },
    CaptureCase("async") { c in
        let (n, s) = (opaque(3), opaque("a"))
        try expect(
            await c.runAsync {
                await Task.yield(); return s + "\(n)"
            },
            "a3"
        )
    },
    CaptureCase("async without captures") { c in try expect(await c.runAsync { await globalAsync() }, "global") },
    CaptureCase("async lone array") { c in
        let a = opaque([1, 2]);
        try expect(
            await c.runAsync {
                await Task.yield(); return a.count
            },
            2
        )
    },
    CaptureCase("async with child tasks") { c in
        let a = opaque([1, 2, 3])
        try expect(
            await c.runAsync {
                await withTaskGroup(of: Int.self) { g in
                    for x in a { g.addTask { x * x } }
                    return await g.reduce(0, +)
                }
            },
            14
        )
    },
    CaptureCase("global function") { c in try expect(await c.run(globalFunction), 30) },
    CaptureCase("global async function") { c in try expect(await c.runAsync(globalAsync), "global") },
    CaptureCase("sync function as async") { c in
        let n = opaque(2); let f: @Sendable () -> Int = { n }; try expect(await c.runAsync(f), 2)
    },
    CaptureCase("method of a value") { c in
        let p = opaque(Point(x: 0, y: 5)); try expect(await c.run(p.twice), 10)
        try expect(await c.runAsync(p.later), 5)
    },
    CaptureCase("method of an object") { c in
        let f = opaque(Dog(name: "D")).speak; try expect(await c.run { f() }, "D 4")
    },
    CaptureCase("local function") { c in
        let n = opaque(3)
        @Sendable func add(_ x: Int) -> Int { x + n }
        @Sendable func plain() -> Int { n }
        try expect(await c.run { add(2) }, 5); try expect(await c.run(plain), 3)
    },
    CaptureCase("recursive local function") { c in
        let n = opaque(3)
        @Sendable func fact(_ x: Int) -> Int { x < 2 ? n : x * fact(x - 1) }
        let f = opaque(fact)
        try expect(await c.run { fact(3) }, 18); try expect(await c.run { f(4) }, 72)
    },
    CaptureCase("nested closures") { c in
        let (n, s) = (opaque(3), opaque("s"))
        let f: @Sendable (Int) -> Int = { $0 + n }
        let g: @Sendable (Int) -> String = { s + "\(f($0))" }
        let h: @Sendable () -> String = { g(1) + g(2) }
        try expect(await c.run { h() }, "s4s5"); try expect(await c.run(h), "s4s5")
    },
    CaptureCase("async nested closures") { c in
        let s = opaque("s")
        let g: @Sendable (Int) async throws -> String = {
            await Task.yield(); return s + "\($0)"
        }
        try expect(await c.runAsync { try await g(1) + g(2) }, "s1s2")
    },
    CaptureCase("optional closure") { c in
        let n = opaque(3)
        let f: (@Sendable () -> Int)? = opaque({ @Sendable in n }), z: (@Sendable () -> Int)? = opaque(nil)
        try expect(await c.run { f!() + (z?() ?? 10) }, 13)
    },
    CaptureCase("array of closures") { c in
        let n = opaque(3)
        let fs: [@Sendable (Int) -> Int] = opaque([{ $0 + n }, { $0 * n }])
        try expect(await c.run { fs.map { $0(5) } }, [8, 15])
    },
    CaptureCase("tuple with a closure") { c in
        let n = opaque(3)
        let t: (name: String, f: @Sendable (String) -> String) = opaque(("x", { $0 + "\(n)" }))
        try await expectRefusal("tuple", "function") { try await c.run { t.f(t.name) } }
        let (name, f) = t
        try expect(await c.run { f(name) }, "x3")
    },
    CaptureCase("closures sharing a variable") { c in
        nonisolated(unsafe) var v = opaque(5)
        let up: @Sendable () -> Void = { v += 1 }, get: @Sendable () -> Int = { v }
        try expect(
            await c.run {
                up(); up(); return get()
            },
            7
        )
    },
    CaptureCase("deeply nested closures") { c in
        let n = opaque(1)
        var f: @Sendable () -> Int = { n }
        for depth in 1...400 {
            let inner = f
            f = { inner() + n }
            if depth == 60 {
                let nested = f
                try expect(await c.run { nested() }, 61)
            }
        }
        let tooDeep = f
        try await expectRefusal("nested") { try await c.run { tooDeep() } }
    },
    CaptureCase("main actor closure") { c in
        let n = opaque(3); let f = { @Sendable @MainActor in n }
        if c.hasMainActor { try expect(await c.runAsync(f), 3) }
    },
    CaptureCase("arguments") { c in
        let n = opaque(3)
        try expect(await c.call(2, "x") { a, b in "\(a)\(b)\(n)" }, "2x3")
        try expect(await c.call(PrivateConfig(a: 1, name: "p")) { "\($0.a)\($0.name)" }, "1p")
        try expect(await c.call { n }, 3)
    },
]

extension Carrier {
    /// Whether the main actor runs where closures are taken.
    public var hasMainActor: Bool { true }
}

@inline(never) @_optimize(none)
func genericBoth<T: Codable & Sendable & Hashable, U: Codable & Sendable>(_ t: T, _ u: U, _ c: any Carrier) async throws
    -> [String]
{
    let n = opaque(9)
    let f: @Sendable () -> T = { t }
    let type = T.self
    nonisolated(unsafe) var boxed = u
    return [
        try await c.run { "\([t: u])\(n)\(t.hashValue == t.hashValue)" },
        try await c.runAsync { "\(t)\(n)" },
        try await c.run { "\(f())\(u)" },
        try await c.run { "\(type)" },
        try await c.run { "\(T.self)\(U.self)" },
        try await c.run {
            boxed = u; return "\(boxed)\(t)"
        },
        try await c.run { "\(boxed)" },
        "\(try await c.run { [t, t] })",
        "\(try await c.run { (t, u) })",
        "\(try await c.call(u) { (t, $0) })",
    ]
}
@inline(never) @_optimize(none)
func genericElement<C: Collection & Sendable & Codable>(_ s: C, _ c: any Carrier) async throws -> [String]
where C.Element: Codable & Sendable & Hashable {
    let first = s.first!
    return [try await c.run { "\(first)" }, try await c.run { "\(s)\(first.hashValue == first.hashValue)" }]
}
final class GenericObject<T: Codable & Sendable>: Codable, Sendable {
    let t: T
    init(_ t: T) { self.t = t }
    func viaSelf(_ c: any Carrier) async throws -> String { try await c.run { "\(self.t)" } }
    @inline(never) @_optimize(none)
    static func captured<V: Codable & Sendable>(_ v: V, _ o: GenericObject<T>, _ c: any Carrier) async throws -> String
    {
        try await c.run { "\(o.t)\(v)" }
    }
}
@inline(never) @_optimize(none)
func genericOverObject<T: Codable & Sendable>(_ o: GenericObject<T>, _ n: Int, _ c: any Carrier) async throws -> String
{
    try await c.run { "\(o.t)\(T.self)\(n)" }
}
extension Shape where Self: Codable {
    @inline(never) func inExtension(_ c: any Carrier) async throws -> Int { try await c.run { self.area() } }
}

let genericCases: [CaptureCase] = [
    CaptureCase("generic function") { c in
        try expect(
            await genericBoth("a", 2, c),
            [
                "[\"a\": 2]9true", "a9", "a2", "String", "StringInt", "2a", "2", "[\"a\", \"a\"]", "(\"a\", 2)",
                "(\"a\", 2)",
            ]
        )
    },
    CaptureCase("generic function over private types") { c in
        let r = try await genericBoth(Point(x: 0, y: 1), PrivateBox(t: PrivateResult(v: 3)), c)
        try expect(r[3], "Point"); try expect(r[4], "PointPrivateBox<PrivateResult>")
    },
    CaptureCase("generic function over a collection") { c in
        try expect(await genericElement([7, 8], c), ["7", "[7, 8]true"])
        try expect(await genericElement(Set(["a"]), c), ["a", "[\"a\"]true"])
    },
    CaptureCase("generic class") { c in
        try expect(await GenericObject(3).viaSelf(c), "3")
        try expect(await GenericObject.captured("v", GenericObject([1]), c), "[1]v")
        try expect(await genericOverObject(GenericObject("t"), 3, c), "tString3")
    },
    CaptureCase("protocol extension") { c in try expect(await Point(x: 0, y: 4).inExtension(c), 16) },
]

actor SomeActor {
    var n = 1
    func send(_ c: any Carrier) async throws -> Int { try await c.runAsync { await self.n } }
    func send2(_ c: any Carrier) async throws -> Int { let m = n; return try await c.runAsync { m } }
}
@MainActor func fromMainActor(_ c: any Carrier) async throws -> Int {
    let n = opaque(3); return try await c.runAsync { n } + c.run { n }
}
@inline(never) @_optimize(none)
func overPack<each T: Codable & Sendable>(_ t: repeat each T, c: any Carrier) async throws -> String {
    try await c.run { "\((repeat each t))" }
}

let refusalCases: [CaptureCase] = [
    CaptureCase("refuses a struct that is not Codable") { c in
        let p = opaque(NotCodable(text: "a", other: "b"))
        try await expectRefusal("NotCodable", "ChildProcess(arguments: x)", "Codable") { try await c.run { p.text } }
    },
    CaptureCase("refuses an object that is not Codable") { c in
        let p = opaque(Plain()), n = opaque(1)
        try await expectRefusal("Plain", "Codable", "or make it in the body") { try await c.run { p.v } }
        try await expectRefusal("Plain", "Codable") { try await c.run { p.v + n } }
    },
    CaptureCase("refuses pointers") { c in
        nonisolated(unsafe) let p = opaque(UnsafeRawPointer(bitPattern: 8))
        try await expectRefusal("UnsafeRawPointer") { try await c.run { p == nil } }
    },
    CaptureCase("refuses weak and unowned references") { c in
        let o = opaque(Animal(legs: 1))
        weak let w = o
        try await expectRefusal("Animal", "a weak", "capture the object itself") { try await c.run { w?.legs } }
        try await expectRefusal("Animal", "an unowned") { try await c.run { [unowned o] in o.legs } }
    },
    CaptureCase("refuses key paths") { c in
        let k = opaque(\Point.y); let p = opaque(Point(x: 0, y: 0))
        try await expectRefusal("KeyPath", "closure") { try await c.run { p[keyPath: k] } }
    },
    CaptureCase("refuses actors") { c in
        try await expectRefusal("SomeActor", "actor", "capture what the body needs of it") {
            try await SomeActor().send(c)
        }
        try expect(await SomeActor().send2(c), 1)
    },
    CaptureCase("refuses existentials of what is not Codable") { c in
        let e: any Error = opaque(Uncodable()), n = opaque(1)
        try await expectRefusal("Uncodable", "Codable") { try await c.run { "\(e)" } }
        try await expectRefusal("Uncodable", "Codable") { try await c.run { "\(e)\(n)" } }
    },
    CaptureCase("refuses in a nested closure") { c in
        let p = opaque(Plain()); let f: @Sendable () -> Int = { p.v }; let g: @Sendable () -> Int = { f() }
        try await expectRefusal("Plain", "Codable") { try await c.run { g() } }
    },
    CaptureCase("refuses results that are not Codable") { c in
        try await expectRefusal("NotCodable", "result") { try await c.run { NotCodable(text: "", other: "") } }
    },
    CaptureCase("refuses a variable that holds its closure") { c in
        nonisolated(unsafe) var f: @Sendable () -> Int = { 1 }
        let n = opaque(1)
        f = { n > 5 ? f() : n }
        try await expectRefusal("cycle") { try await c.run { f() } }
        f = { 1 }  // breaks the cycle here too
    },
    CaptureCase("refuses parameter packs") { c in
        try await expectRefusal("pack") { try await overPack(1, "a", c: c) }
    },
    CaptureCase("refuses or carries a private enum with payloads captured only") { c in
        let p = makePayload(opaque(4))
        do {
            try expect(await c.run { if case .b(let s) = p { s } else { "" } }, "x")
        } catch {
            guard "\(error)".contains("PrivatePayload"), "\(error)".contains("pass it as an argument") else {
                throw error
            }
        }
    },
    CaptureCase("closure written in a main actor function") { c in try expect(await fromMainActor(c), 6) },
]
