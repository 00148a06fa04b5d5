// swift-tools-version: 6.2

import PackageDescription

/// Every Swift target is built with the language's upcoming rules on.
let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
]

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
    name: "swift-multiprocessing",
    products: [
        .library(name: "Multiprocessing", targets: ["Multiprocessing"]),
        .library(name: "MultiprocessingObservability", targets: ["MultiprocessingObservability"]),
        .library(name: "MultiprocessingTestKit", targets: ["MultiprocessingTestKit"]),
        .executable(name: "pep371", targets: ["pep371"]),
        // For the package under Benchmarks/ only; no promise is made about it.
        .library(name: "_MultiprocessingWire", targets: ["MultiprocessingWire"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        // Of MultiprocessingObservability only: what imports the library alone builds none of them.
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        // Of the benchmark program only: what imports the library builds neither.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/attaswift/BigInt", from: "6.0.0"),
    ],
    targets: [
        // The layers, lowest first: each may import only those above it in this list.
        .target(name: "_MultiprocessingShims"),
        .target(
            name: "MultiprocessingSystem",
            dependencies: ["_MultiprocessingShims", system],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "MultiprocessingWire",
            dependencies: ["_MultiprocessingShims"],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "Multiprocessing",
            dependencies: ["MultiprocessingSystem", "MultiprocessingWire", system],
            swiftSettings: swiftSettings
        ),
        // Pools in the terms of swift-metrics, swift-log and swift-distributed-tracing.
        .target(
            name: "MultiprocessingObservability",
            dependencies: [
                "Multiprocessing",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
            ],
            swiftSettings: swiftSettings
        ),
        // For tests: leak checks, deaths at every step of a protocol, storms of them.
        .target(
            name: "MultiprocessingTestKit",
            dependencies: ["Multiprocessing", "MultiprocessingSystem", system],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "crash-isolation",
            dependencies: ["Multiprocessing"],
            path: "Examples/crash-isolation",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "tree-hash",
            dependencies: ["Multiprocessing", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Examples/tree-hash",
            exclude: ["README.md"],
            swiftSettings: swiftSettings
        ),
        // The PEP's performance comparison: a kit that tests can import, and its command line.
        .target(
            name: "PEP371Kit",
            dependencies: ["Multiprocessing", .product(name: "BigInt", package: "BigInt")],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "pep371",
            dependencies: ["PEP371Kit", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "DocumentationTests",
            dependencies: ["Multiprocessing", system],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "pep371Tests",
            dependencies: ["PEP371Kit"],
            swiftSettings: swiftSettings
        ),
        // Every kind of capture, for the tests and for a plain program that runs them across processes.
        .target(name: "CaptureCases", path: "Tests/CaptureCases", swiftSettings: swiftSettings),
        .executableTarget(
            name: "closure-matrix",
            dependencies: ["CaptureCases", "MultiprocessingWire"],
            path: "Tests/ClosureMatrix",
            swiftSettings: swiftSettings
        ),
        // Programs that the tests run: one with a scenario for each argument, and one that is a plain main.swift.
        .executableTarget(
            name: "mp-scenarios",
            dependencies: ["Multiprocessing", system],
            path: "Tests/Scenarios",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "mp-toplevel",
            dependencies: ["Multiprocessing"],
            path: "Tests/TopLevel",
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MultiprocessingTests",
            dependencies: [
                "Multiprocessing", "MultiprocessingTestKit", "mp-scenarios", "mp-toplevel", "tree-hash", system,
            ],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MultiprocessingObservabilityTests",
            dependencies: [
                "Multiprocessing",
                "MultiprocessingObservability",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "InMemoryLogging", package: "swift-log"),
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
            ],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MultiprocessingWireTests",
            dependencies: ["CaptureCases", "MultiprocessingWire"],
            swiftSettings: swiftSettings
        ),
    ],
    swiftLanguageModes: [.v6]
)
