//! Document and image: limits' names, detected types, keys.
