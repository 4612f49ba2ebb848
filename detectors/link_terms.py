"""What a link's score is made of: each term, what it adds, and how a reviewer reads it."""

from typing import Final

WEIGHTS: Final = {
    "link.official_name_in_front": (0.65, "puts a protected domain in front of its own"),
    "link.official_name_as_user": (0.65, "puts a protected domain before an @"),
    "link.disguised_name": (0.65, "writes a protected name with look-alike letters"),
    "link.swapped_letters": (0.5, "writes a protected name with look-alike digits"),
    "link.name_in_part": (0.5, "joins a protected name to other words"),
    "link.name_with_digits": (0.45, "joins a protected name to digits"),
    "link.mistyped_name": (0.45, "misses a protected name by a slip"),
    "link.mistyped_site": (0.4, "misses the name of a well-known site by a slip"),
    "link.name_behind_www": (0.5, "runs www or https into a known name"),
    "link.name_inside": (0.4, "holds a protected name outside its owner's domains"),
    "link.word_in_part": (0.4, "joins a short protected name to a service word"),
    "link.name_in_subdomain": (0.4, "carries a protected name in its subdomain"),
    "link.name_on_other_suffix": (0.35, "is a protected name under an unusual suffix"),
    "link.name_in_path": (0.15, "carries a protected name in its path"),
    "link.user_before_host": (0.4, "hides its host behind an @"),
    "link.address": (0.25, "is a bare network address"),
    "link.odd_address": (0.3, "writes that address so that people cannot read it"),
    "link.app_file": (0.45, "downloads an Android app outside a store"),
    "link.double_extension": (0.5, "downloads a program that passes for a document"),
    "link.program_file": (0.15, "downloads a program"),
    "link.archive_file": (0.1, "downloads an archive"),
    "link.shortened": (0.2, "is shortened"),
    "link.redirected": (0.1, "stands inside another link"),
    "link.odd_suffix": (0.15, "has a throw-away suffix"),
    "link.free_hosting": (0.35, "lies on free hosting that traps often use"),
    "link.dynamic_name": (0.25, "has a name for machines without a fixed address"),
    "link.hosted": (0.15, "lies on somebody's hosting service"),
    "link.service_word": (0.2, "names a login, payment or claim"),
    "link.many_hyphens": (0.2, "strings words together with hyphens"),
    "link.many_subdomains": (0.15, "has many subdomains"),
    "link.random_label": (0.2, "has a label of random letters"),
    "link.foreign_script": (0.15, "mixes scripts in one label"),
    "link.brand_wording": (0.15, "stands beside a protected name"),
    "link.asking_words": (0.25, "stands beside a demand to verify, claim or act"),
}

LEARNED_PART: Final = "link.learned_part"
LEARNED_REST: Final = "link.learned_rest"
LEARNED_REASON: Final = "has a name like those of listed traps"
"""Terms of the model of hosts (`detectors.host_scorer`), whose weights differ from link to link."""
