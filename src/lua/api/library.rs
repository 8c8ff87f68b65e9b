//! The modules that come with Neap: `require "nginx"`, or `require "neap.nginx"` where a file of one's own has that name.

/// The modules and their sources.
const MODULES: [(&str, &str); 4] = [
    ("nginx", include_str!("../../../stdlib/nginx.lua")),
    ("postgres", include_str!("../../../stdlib/postgres.lua")),
    ("recipe", include_str!("../../../stdlib/recipe.lua")),
    ("redis", include_str!("../../../stdlib/redis.lua")),
];

/// The source of a module, by the name that `require` was given.
pub fn embedded(module: &str) -> Option<&'static str> {
    let name = module.strip_prefix("neap.").unwrap_or(module);
    MODULES.iter().find(|(known, _)| *known == name).map(|(_, source)| *source)
}

/// The names of all modules.
pub fn modules() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}
