"""Tests for JobMaster: the contract suite for providers, and help for testing applications."""
