"""Texts: tokens, sentences, words, languages."""
